"""What a patching found."""

from dataclasses import dataclass

import pandas as pd

from shiftlens.errors import ShiftlensError
from shiftlens.patching.alignment import Site
from shiftlens.patching.components import COMPONENTS
from shiftlens.patching.metrics import METRICS
from shiftlens.patching.prompts import Prompt


@dataclass(frozen=True)
class PatchResult:
    r"""The outcome of every patch of one pair of texts.

    Attributes:
        table: Tidy, one row a patch. ``component``; ``layer`` (0..L of ``resid``, block 1..L of
            the others); ``head`` (0-based; <NA> unless the component is ``head``); ``site``
            (its number); ``label``; ``positions`` and ``clean_positions`` (tuples); ``token`` and
            ``clean_token``; ``metric``; ``value``, of the patched run; ``effect``, the share of
            the way from the corrupt to the clean run,

            .. math:: (value - corrupt) / (clean - corrupt),

            NaN where these two do not differ, and nowhere else; ``answer``, which of the answers
            is most probable (empty without answers); ``top``, the most probable token of all.
        model: The model's name.
        n_layers: Number of blocks L.
        clean: The text whose states were taken.
        corrupt: The text into whose run they were put.
        sites: Where; the table's ``site`` counts them.
        component: A key of ``COMPONENTS``.
        part: ``whole``, or ``inside`` or ``outside`` a subspace.
        metric: A key of ``METRICS``.
        answers: Answer (or language) to its first token as shown.
        clean_value: The metric in the clean run, unpatched.
        corrupt_value: The metric in the corrupt run, unpatched.
        clean_top: Most probable next token of the clean run.
        corrupt_top: Most probable next token of the corrupt run.
        max_rows: Most rows in a batch.
    """

    table: pd.DataFrame
    model: str
    n_layers: int
    clean: Prompt
    corrupt: Prompt
    sites: tuple[Site, ...]
    component: str
    part: str
    metric: str
    answers: dict[str, str]
    clean_value: float
    corrupt_value: float
    clean_top: str
    corrupt_top: str
    max_rows: int

    @property
    def component_words(self) -> str:
        """What was patched, such as ``residual stream, inside the subspace``."""
        words = COMPONENTS[self.component]
        return words if self.part == "whole" else f"{words}, {self.part} the subspace"

    @property
    def metric_words(self) -> str:
        """What was measured."""
        return METRICS[self.metric].words

    def grid(
        self, column: str = "effect", head: int | None = None, site: int | None = None
    ) -> pd.DataFrame:
        """One column of the table as a grid of layers.

        Args:
            column: Any of the table's, such as ``effect`` or ``value``.
            head: Where the component is ``head``, the head whose sites are wanted.
            site: Where the component is ``head`` and no head is given, the site whose heads are
                wanted; by default the last.

        Returns:
            Layers as rows; sites as columns, or heads.

        Raises:
            ShiftlensError: No such column, head or site.
        """
        if column not in self.table:
            known = ", ".join(map(str, self.table))
            raise ShiftlensError(f"the table has no column {column!r}; choose one of {known}")
        table, columns = self.table, "site"
        if self.component == "head" and head is not None:
            table = table[table["head"] == head]
        elif self.component == "head":
            wanted = len(self.sites) - 1 if site is None else site
            table, columns = table[table["site"] == wanted], "head"
        if table.empty:
            where = f"site {site}" if head is None else f"head {head}"
            raise ShiftlensError(f"the table has no {where}")
        return table.pivot(index="layer", columns=columns, values=column)
