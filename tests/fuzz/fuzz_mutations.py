"""Spoiling valid inputs: bytes of files, trees of JSON, texts that somebody could send."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NASTY_BYTES = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\r",
    b"\n\n",
    b"\t\t",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\\ud800",
    b'"',
    b"{}",
    b"[",
    b"1e999",
    b"NaN",
    b"-0",
    b"&a [*a]",
    b"!!python/name:os.system",
    b"\xe2\x80\xa8",
    b"2020-99-99",
    b"9" * 5000,
    b"[" * 20_000,
    b"x" * 200_000,
)
NASTY_TEXTS = (
    *("", " ", "\x00", "\ufeff", "\r\n", "\u202e", "\ud800", "a\nb", "\u2028", "\x1b[2J"),
    *("../../etc/passwd", "/etc/passwd", "id", "en", "xx-invalid", "nan", "1e999", "-1", "0"),
    *("=", "a = b", "en: x\nen: y", "<script>", "1.1", "99999.1", "1-2", "٣", "x" * 50_000),
)
NASTY_VALUES = (
    *(None, True, False, 0, -1, 1.0, 2**63, 10**400, 1e308, float("nan"), float("inf")),
    *([], {}, [[]], {"a": None}, [None], "", "en"),
)


def deep(rng: random.Random) -> Any:
    """Something nested deeper than most readers go."""
    tree: Any = rng.choice(NASTY_VALUES)
    for _ in range(rng.choice((50, 400))):
        tree = [tree] if rng.random() < 0.5 else {"a": tree}
    return tree


def any_value(rng: random.Random) -> Any:
    """A value of some kind, seldom the right one."""
    kind = rng.random()
    if kind < 0.45:
        return copy.deepcopy(rng.choice(NASTY_VALUES))
    if kind < 0.85:
        return any_text(rng)
    return rng.uniform(-1e6, 1e6) if kind < 0.95 else deep(rng)


def any_text(rng: random.Random) -> str:
    """A text that somebody could type, or that a program could."""
    if rng.random() < 0.5:
        return rng.choice(NASTY_TEXTS)
    letters = "aé中ñ \n\t=:.,-0٣\x00\u202e\U0001f600"
    return "".join(rng.choice(letters) for _ in range(rng.choice((1, 3, 12, 500))))


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to three of: flip, cut, insert, remove, repeat."""
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(spoiled) + 1)
        end = min(len(spoiled), at + rng.choice((1, 4, 64, 4096)))
        way = rng.randrange(6)
        if way == 0 and at < len(spoiled):
            spoiled[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del spoiled[at:]
        elif way == 2:
            spoiled[at:at] = rng.choice(NASTY_BYTES)
        elif way == 3:
            del spoiled[at:end]
        elif way == 4:
            spoiled[at:at] = spoiled[at:end]
        else:
            spoiled[at:end] = rng.randbytes(end - at)
    return bytes(spoiled)


def spoil_tree(tree: Any, rng: random.Random) -> Any:
    """Change, remove, add or repeat something at a random place of a tree."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.randint(1, 2)):
        places = list(_places(tree))
        if not places:
            return any_value(rng)
        holder, key = rng.choice(places)
        way = rng.randrange(5)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[any_text(rng)] = any_value(rng)
        elif way == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = any_value(rng)
    return tree if rng.random() < 0.97 else any_value(rng)


def _places(tree: Any) -> Any:
    """Every holder and key in a tree."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def spoil_lines(data: bytes, rng: random.Random, spoil: Callable[..., Any]) -> bytes:
    """Spoil the JSON of one line."""
    lines = data.decode().split("\n")
    at = rng.randrange(len(lines))
    if lines[at].strip():
        lines[at] = json.dumps(spoil(json.loads(lines[at]), rng))
    return "\n".join(lines).encode()
