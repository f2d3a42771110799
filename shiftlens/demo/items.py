"""The items of the counting world, how they are split, and which language has seen which.

An item is a task and its operands in order. Of larger, smaller and plus, some items are held out:
they are in no text, of any language, that anything is trained on. Their mirrors (9 and 3 for 3 and
9) are train items: whoever knows the task and that order does not matter can answer, and a
low-resource language has seen one mirror in twenty. Every choice is a sort by hash, so it is the
same on every platform and Python version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from shiftlens.demo.sentences import TASKS
from shiftlens.errors import ShiftlensError

LARGEST = 29
"""The world counts from zero to this number."""

DOMINANT = "en"
"""The dominant language."""

GROUPS: dict[str, tuple[str, ...]] = {
    "dominant": (DOMINANT,),
    "mid": ("es", "de", "ru", "ja"),
    "low": ("fi", "tr", "ko", "fa"),
}
"""Languages by how much of the world they have seen."""

LANGUAGES: tuple[str, ...] = tuple(code for group in GROUPS.values() for code in group)
"""Every language, the dominant one first."""

EXPOSURE: dict[str, float] = {"dominant": 1.0, "mid": 1 / 3, "low": 0.05}
"""Share of the train items of larger, smaller and plus that a group's languages have seen."""

SPLITS = ("train", "validation", "test")
"""The splits; validation and test are held out."""

HELD_OUT = {"validation": 40, "test": 60}
"""Held-out items of each of larger, smaller and plus."""

_SEED = "counting-world"


@dataclass(frozen=True)
class Item:
    """One task and its operands, in no language.

    Attributes:
        task: One of ``TASKS``.
        a: The first operand.
        b: The second operand; None for next and previous.
    """

    task: str
    a: int
    b: int | None = None

    @property
    def id(self) -> str:
        """The item's name, such as ``larger-03-09``."""
        operands = [self.a] if self.b is None else [self.a, self.b]
        return "-".join([self.task, *(f"{n:02d}" for n in operands)])

    @property
    def answer(self) -> int:
        """The number that answers the item."""
        if self.b is None:
            return self.a + (1 if self.task == "next" else -1)
        if self.task == "plus":
            return self.a + self.b
        return max(self.a, self.b) if self.task == "larger" else min(self.a, self.b)


def shuffled(items: Iterable[Item], salt: str) -> list[Item]:
    """Returns the items in an order fixed by their ids and ``salt`` alone."""
    return sorted(
        items, key=lambda item: hashlib.sha256(f"{_SEED}/{salt}/{item.id}".encode()).digest()
    )


def _both_orders(task: str) -> list[Item]:
    """Returns every item of a task on two operands."""
    numbers = range(LARGEST + 1)
    if task == "plus":
        return [Item(task, a, b) for a in numbers for b in numbers if a + b <= LARGEST]
    return [Item(task, a, b) for a in numbers for b in numbers if a != b]


def _held_out(task: str) -> list[Item]:
    """Returns a task's held-out items, validation before test, never an item and its mirror."""
    pairs: dict[frozenset[int], Item] = {}
    for item in shuffled(_both_orders(task), "split"):
        if item.b is not None and item.a != item.b:
            pairs.setdefault(frozenset((item.a, item.b)), item)
    return list(pairs.values())[: sum(HELD_OUT.values())]


@cache
def items(split: str) -> tuple[Item, ...]:
    """Returns the items of a split.

    Next and previous have train items only.

    Args:
        split: ``train``, ``validation`` or ``test``.

    Raises:
        ShiftlensError: If there is no such split.
    """
    if split not in SPLITS:
        raise ShiftlensError(f"demo world: no split {split!r}; use one of {', '.join(SPLITS)}.")
    found: list[Item] = []
    for task in ("larger", "smaller", "plus"):
        held_out = _held_out(task)
        first = HELD_OUT["validation"]
        if split == "train":
            found += set(_both_orders(task)) - set(held_out)
        else:
            found += held_out[:first] if split == "validation" else held_out[first:]
    if split == "train":
        found += [Item("next", n) for n in range(LARGEST)]
        found += [Item("previous", n + 1) for n in range(LARGEST)]
    return tuple(sorted(found, key=lambda item: item.id))


def group_of(language: str) -> str:
    """Returns the group of a language: ``dominant``, ``mid`` or ``low``.

    Raises:
        ShiftlensError: If the world does not have the language.
    """
    for group, members in GROUPS.items():
        if language in members:
            return group
    raise ShiftlensError(
        f"demo world: no language {language!r}; it has {', '.join(LANGUAGES)}. Use one of these."
    )


@cache
def exposed(language: str) -> tuple[Item, ...]:
    """Returns the train items that a language's texts contain.

    Every next and previous, and of each other task the share that ``EXPOSURE`` gives the
    language's group; which ones is each language's own.
    """
    share = EXPOSURE[group_of(language)]
    seen: list[Item] = []
    for task in TASKS:
        of_task = shuffled((item for item in items("train") if item.task == task), language)
        whole = task in ("next", "previous")
        seen += of_task[: len(of_task) if whole else round(share * len(of_task))]
    return tuple(seen)
