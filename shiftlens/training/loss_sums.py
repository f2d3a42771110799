"""The losses that a training logs: means over steps, which a checkpoint carries on."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from shiftlens import ranks
from shiftlens.forms import misfit


@dataclass
class LossSums:
    """Losses of the steps so far; the Trainer's own sums begin anew when it resumes.

    Attributes:
        recent: Sum since the last row of the log; of this process's part of the batches.
        before: Sum up to that row.
        row: Step of that row.
        start: Step from which there are losses; 0 but after a checkpoint that has none.
    """

    recent: Tensor | float = 0.0
    before: float = 0.0
    row: int = 0
    start: int = 0

    def add(self, loss: Tensor) -> None:
        """Count the loss of a batch."""
        self.recent = self.recent + loss.float()

    def of_row(self, step: int) -> float:
        """Mean loss of the steps since the last row; begins the next row."""
        recent, steps = self._recent(), step - self.row
        self.recent, self.before, self.row = 0.0, self.before + recent, step
        return recent / max(steps, 1)

    def of_all(self, step: int) -> float:
        """Mean loss of all steps."""
        return (self.before + self._recent()) / max(step - self.start, 1)

    def saved(self) -> dict[str, float]:
        """What a checkpoint keeps, the same in every process."""
        self.recent = self._recent()
        return asdict(self)

    @classmethod
    def restored(cls, saved: Any, step: int) -> "LossSums":
        """The sums at a checkpoint; one of an earlier version has none."""
        return cls(row=step, start=step) if saved is None else cls(**saved)

    @staticmethod
    def misfit(saved: Any) -> str:
        """What is wrong with sums that were read; empty where nothing is."""
        form = {"recent": float, "before": float, "row": int, "start": int}
        if saved is None:
            return ""
        return misfit(saved, form) or ("" if saved.keys() == form.keys() else "others are there")

    def _recent(self) -> float:
        """The mean over the processes, as their losses are made for it."""
        heard = ranks.exchange(float(self.recent))
        return sum(heard) / len(heard)
