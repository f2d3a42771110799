"""What the view of patching asks for: checked, computed, and as Python."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any, cast

from shiftlens.app.patch_cells import Cell
from shiftlens.app.session import Session
from shiftlens.app.texts import LONGEST_ANSWER, chosen, typed_lines, typed_text
from shiftlens.app.worker import Job
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_code
from shiftlens.patching import (
    ALIGNMENTS,
    COMPONENTS,
    METRICS,
    Example,
    PatchedAnswer,
    PatchResult,
    patch,
    patched_answer,
)

BLANK = {
    "clean": "",
    "corrupt": "",
    "answers": "",
    "component": "resid",
    "metric": "logit_difference",
    "align": "auto",
    "words": "",
}
"""The fields of the page before anything is chosen."""

_IN_LANGUAGE = re.compile(r"([A-Za-z]{2,3}(?:-\w+)*):\s*(.+)")


@dataclass(frozen=True)
class PatchRequest:
    """A patching.

    Attributes:
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.
        answers: Texts that may follow, or language to such a text.
        component: What is patched.
        metric: What is measured.
        align: How the texts are aligned, or pairs of words.
    """

    clean: str
    corrupt: str
    answers: Sequence[str] | Mapping[str, str]
    component: str
    metric: str
    align: str | Sequence[tuple[str, str]]


def check_request(
    clean: str, corrupt: str, answers: str, component: str, metric: str, align: str, words: str
) -> PatchRequest:
    """Check what the page sent.

    Raises:
        ShiftlensError: A choice that there is not, or a text that cannot be taken.
    """
    for name, value, choices in (
        ("component", component, COMPONENTS),
        ("metric", metric, METRICS),
        ("alignment", align, ALIGNMENTS),
    ):
        chosen(value, choices, name)
    texts = typed_text(clean, "the clean text"), typed_text(corrupt, "the corrupt text")
    following = typed_answers(answers) if METRICS[metric].answers or answers else []
    pairs = typed_pairs(words) if align == "words" else align
    return PatchRequest(*texts, following, component, metric, pairs)


def typed_answers(text: str) -> list[str] | dict[str, str]:
    """Answers, one a line: as they are, or each after its language, such as ``fi: kahdeksan``.

    Raises:
        ShiftlensError: There is none, or one cannot be taken.
    """
    lines = typed_lines(text, "the list of answers")
    found = [_IN_LANGUAGE.fullmatch(line) for line in lines]
    if not all(found):
        return lines
    pairs = [(language_code(match[1]), match[2]) for match in found if match]
    if len(dict(pairs)) < len(pairs):
        raise ShiftlensError("the list of answers has a language twice; give one answer in each")
    return dict(pairs)


def typed_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs of words, one a line: ``clean = corrupt``.

    Raises:
        ShiftlensError: There is none, or a line is no pair.
    """
    pairs = []
    for line in typed_lines(text, "the list of word pairs"):
        clean, equals, corrupt = (part.strip() for part in line.partition("="))
        if not (clean and equals and corrupt):
            raise ShiftlensError(
                f"{line[:LONGEST_ANSWER]!r} is no pair of words; write: clean word = corrupt word"
            )
        pairs.append((clean, corrupt))
    return pairs


def link_state(request: PatchRequest) -> dict[str, str]:
    """A request as the fields of the page, and of a link."""
    answers, align = request.answers, request.align
    if isinstance(answers, dict):
        answers = [f"{language}: {answer}" for language, answer in answers.items()]
    state = {
        "clean": request.clean,
        "corrupt": request.corrupt,
        "answers": "\n".join(answers),
        "component": request.component,
        "metric": request.metric,
        "align": align if isinstance(align, str) else "words",
    }
    if not isinstance(align, str):
        state["words"] = "\n".join(f"{clean} = {corrupt}" for clean, corrupt in align)
    return state


def example_state(example: Example) -> dict[str, str]:
    """A ready-made example as the fields of the page."""
    return link_state(
        PatchRequest(
            example.clean,
            example.corrupt,
            example.answers,
            "resid",
            example.metric,
            cast("str | Sequence[tuple[str, str]]", example.align),
        )
    )


def example_of(state: Mapping[str, Any], examples: Mapping[str, Example]) -> str | None:
    """The title of the example that the fields of the page are of; None where they are of none."""
    wanted = {**BLANK, **state}
    for title, example in examples.items():
        if {**BLANK, **example_state(example)} == {name: wanted[name] for name in BLANK}:
            return title
    return None


def run_patch(session: Session, request: PatchRequest, job: Job) -> PatchResult:
    """Patch every layer and site.

    Raises:
        ShiftlensError: As :func:`shiftlens.patch`.
        Stopped: The job was cancelled.
    """
    job.begin("patching")
    with session.stoppable(job):
        return patch(
            session.model,
            request.clean,
            request.corrupt,
            request.answers,
            component=request.component,
            metric=request.metric,
            align=request.align,
            progress=job.report,
            cancelled=lambda: job.cancelled,
        )


def run_answer(session: Session, request: PatchRequest, cell: Cell, job: Job) -> PatchedAnswer:
    """Let the model answer with the patch of one cell.

    Raises:
        ShiftlensError: As :func:`shiftlens.patched_answer`.
        Stopped: The job was cancelled.
    """
    with session.stoppable(job):
        return patched_answer(
            session.model,
            request.clean,
            request.corrupt,
            layer=cell.layer,
            site=cell.site,
            head=cell.head,
            component=request.component,
            align=request.align,
        )


def code(session: Session, request: PatchRequest, drawn: dict[str, Any], cell: Cell | None) -> str:
    """The lines of Python that repeat a patching, its figure and one cell's answer."""
    shown = "".join(f", {name}={value!r}" for name, value in drawn.items())
    lines = f"""import shiftlens as sl
from shiftlens.plots import patch_heatmap_interactive

{session.load_code}
clean = {request.clean!r}
corrupt = {request.corrupt!r}
result = sl.patch(
    model,
    clean,
    corrupt,
    answers={pformat(request.answers, sort_dicts=False)},
    component={request.component!r},
    metric={request.metric!r},
    align={request.align!r},
)
print(result.table)
patch_heatmap_interactive(result{shown}).show()"""
    if cell is None:
        return lines
    head = "" if cell.head is None else f", head={cell.head}"
    return f"""{lines}

answer = sl.patched_answer(
    model,
    clean,
    corrupt,
    component={request.component!r},
    align={request.align!r},
    layer={cell.layer},
    site={cell.site}{head},
)
print(answer.patched, answer.corrupt, answer.clean, sep="\\n")"""
