"""The arms of the comparison: what each trains, shifts and contrasts."""

from dataclasses import dataclass

from shiftlens.errors import ShiftlensError


@dataclass(frozen=True)
class Arm:
    """What one arm of the comparison does.

    Attributes:
        trained: Whether it is trained at all.
        shift: Whether it shifts, in training (where it is trained) and at test.
        contrast: Form of the contrastive loss, one of ``FORMS`` in
            ``shiftlens.training.contrastive``, or None.
        parallel_lm: Whether the parallel texts are language-model data, marked as translation.
        vectors: ``language``; ``random`` for directions drawn at random; ``third`` to shift to a
            third language.
    """

    trained: bool = True
    shift: bool = False
    contrast: str | None = None
    parallel_lm: bool = False
    vectors: str = "language"


ARMS = {
    "base": Arm(trained=False),
    "base-shift": Arm(trained=False, shift=True),
    "msft": Arm(),
    "msft-parallel": Arm(parallel_lm=True),
    "shift-only": Arm(shift=True),
    "mcl-only": Arm(contrast="infonce"),
    "shifcon": Arm(shift=True, contrast="infonce"),
    "random-vector": Arm(shift=True, contrast="infonce", vectors="random"),
    "third-language": Arm(shift=True, contrast="infonce", vectors="third"),
    "recentred": Arm(shift=True, contrast="recentred"),
    "l2-only": Arm(contrast="l2"),
    "l2-shift": Arm(shift=True, contrast="l2"),
    "anchored-only": Arm(contrast="anchored"),
    "anchored-shift": Arm(shift=True, contrast="anchored"),
}
"""The arms that every ShifCon result carries, the withdrawn code's variant, and two other forms."""


def arm_named(name: str) -> Arm:
    """The arm of a name.

    Raises:
        ShiftlensError: There is no such arm.
    """
    if name not in ARMS:
        raise ShiftlensError(f"unknown arm {name!r}; choose from {', '.join(ARMS)}")
    return ARMS[name]
