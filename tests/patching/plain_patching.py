"""Patching the plain way: one forward pass and one hook a patch, found without the package."""

import torch
from torch import nn

from shiftlens.patching import Site

CLEAN, CORRUPT, SHORTER = "hello, a cat ", "teddy walked ", "no, he is "
ANSWERS = ["e", "h"]
SITES = [Site("last", (13,), (10,)), Site("two", (3, 5), (2, 8)), Site("again", (7, 7), (1, 2))]


def basis(columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(32, columns, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q


def ids(model, text):
    return torch.tensor([model.tokenizer(text)["input_ids"]])


def last_logits(model, text):
    with torch.no_grad():
        return model.hf(ids(model, text)).logits[0, -1]


def difference(model, logits):
    first, second = model.tokenizer.convert_tokens_to_ids(ANSWERS)
    return (logits[first] - logits[second]).item()


def blocks(hf, count=3):
    """The model's one list of blocks, found without the package."""
    stacks = [m for m in hf.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    assert len(stacks) == 1
    return stacks[0]


def hooked(model, text, layer, change):
    """Last logits of a plain forward pass, the stream of one layer changed by a hook."""
    stack = blocks(model.hf)

    def entering(_, args, kwargs):
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    def leaving(_, __, output):
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    if layer == 0:
        handle = stack[0].register_forward_pre_hook(entering, with_kwargs=True)
    else:
        handle = stack[layer - 1].register_forward_hook(leaving)
    logits = last_logits(model, text)
    handle.remove()
    return logits


def stream(model, text, layer):
    seen = []
    hooked(model, text, layer, lambda states: seen.append(states.clone()) or states)
    return seen[0][0]


def one_patch(model, clean, corrupt, layer, site, mix=lambda old, new: new):
    """One patch of the residual stream, the plain way."""
    states = stream(model, clean, layer)

    def change(seen):
        seen = seen.clone()
        for old, new in zip(site.corrupt, site.clean, strict=True):
            seen[0, old] = mix(seen[0, old], states[new])
        return seen

    return hooked(model, corrupt, layer, change)


def assert_plain(model, result, clean, corrupt, tolerance=1e-5):
    for row in result.table.itertuples():
        site = result.sites[row.site]
        expected = difference(model, one_patch(model, clean, corrupt, row.layer, site))
        assert abs(row.value - expected) <= tolerance * max(1, abs(expected))
