"""Next-token logits at every layer by Hugging Face alone, and tiny models to read."""

import tiny
import torch

from shiftlens.loading import load_model

NORMS = {
    "gpt2": "transformer.ln_f",
    "xglm": "model.layer_norm",
    "bloom": "transformer.ln_f",
    "opt": "model.decoder.final_layer_norm",
    "gpt_neox": "gpt_neox.final_layer_norm",
}
"""Where each architecture has its final norm; the others have it at ``model.norm``."""


def load(name="llama", **options):
    return load_model(tiny.tiny_model(name, **options), tiny.tiny_tokenizer())


def finish(hf, logits):
    """Gemma 2's cap on logits."""
    cap = getattr(hf.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def early_logits(hf, ids, name="llama"):
    """Logits of one unpadded text, ``(L + 1, pos, vocabulary)``; layer L is the model's own."""
    norm = hf.get_submodule(NORMS.get(name, "model.norm"))
    with torch.no_grad():
        read = hf(torch.tensor([ids]), output_hidden_states=True)
        early = [
            finish(hf, hf.get_output_embeddings()(norm(h)))[0] for h in read.hidden_states[:-1]
        ]
    return torch.stack([*early, read.logits[0]])


def next_token(model, text, name="llama"):
    """Next-token probabilities of a text at every layer, float64."""
    ids = model.tokenizer(text)["input_ids"]
    return early_logits(model.hf, ids, name).double().softmax(-1).numpy()
