"""What the view of the shift asks for: checked, computed, and as Python."""

from dataclasses import dataclass
from pprint import pformat

from shiftlens.app.ready import OWN, ready_prompts
from shiftlens.app.session import Session
from shiftlens.app.shifted import ShiftComparison, compare_shift
from shiftlens.app.texts import chosen, in_range, typed_text
from shiftlens.app.worker import Job
from shiftlens.area import MINIMUM_BLOCKS
from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.forms import misfit
from shiftlens.settings import preset_path, read_settings
from shiftlens.shift import check_area

STRONGEST = 1.5


@dataclass(frozen=True)
class ShiftRequest:
    """A comparison with and without the shift.

    Attributes:
        item: A ready prompt, or ``own``.
        language: The language looked at; of one's own prompt, the one it is in.
        text: One's own prompt; empty otherwise.
        area: Layers (a, b).
        strength: What the shift is multiplied by.
        prompts: Language to prompt.
        expected: Language to the right answer, where it is known.
    """

    item: str
    language: str
    text: str
    area: tuple[int, int]
    strength: float
    prompts: dict[str, str]
    expected: dict[str, str]


def check_request(
    session: Session, item: str, language: str, text: str, area: list[int], strength: float
) -> ShiftRequest:
    """Check what the page sent.

    Raises:
        ShiftlensError: A choice that there is not, or a text that cannot be taken.
    """
    languages = session.languages
    chosen(language, languages, "language")
    in_range(strength, 0, STRONGEST, "the strength")
    if wrong := misfit(area, [int], "area") or (len(area) != 2 and "it has not two layers"):
        raise ShiftlensError(f"the area cannot be taken ({wrong}); choose two layers")
    layers = (area[0], area[1])
    check_area(layers, session.model.n_layers)
    if item == OWN:
        own = typed_text(text, "the prompt")
        return ShiftRequest(item, language, own, layers, strength, {language: own}, {})
    offered = ready_prompts() if session.counts else {}
    ready = offered[chosen(item, offered, "ready prompt")]
    records = {code: ready[code] for code in languages}
    prompts = {code: record.prompt for code, record in records.items()}
    expected = {code: record.completion for code, record in records.items()}
    return ShiftRequest(item, language, "", layers, strength, prompts, expected)


def default_area(session: Session) -> tuple[int, int]:
    """The area that the sliders begin with: the run's, or the preset's of the demo."""
    if session.known is not None and session.known.area is not None:
        return session.known.area
    if session.is_demo:
        a, b = read_settings(preset_path("demo"), TrainConfig)["area"].split("-")
        return int(a), int(b)
    return 1, session.model.n_layers - 1


def too_shallow(session: Session) -> bool:
    """Whether the model has no room for two layers to shift between."""
    return session.model.n_layers < MINIMUM_BLOCKS


def compare(session: Session, request: ShiftRequest, job: Job) -> ShiftComparison:
    """Answer without the shift and with it.

    Raises:
        ShiftlensError: As :func:`compare_shift`.
        Stopped: The job was cancelled.
    """
    measured = session.measured(job)
    shift = measured.shift(request.area)
    job.begin("answering")
    with session.stoppable(job):
        return compare_shift(
            session.model, shift, request.prompts, request.expected, request.strength
        )


def code(session: Session, request: ShiftRequest, language: str) -> str:
    """The lines of Python that repeat a comparison and draw one language of it."""
    measured = session.known
    if measured is None:
        return ""
    first = "from dataclasses import replace\n\n" if measured.trained else ""
    prompts = pformat(request.prompts, sort_dicts=False)
    expected = f"expected = {pformat(request.expected, sort_dicts=False, compact=True)}\n"
    answers = "expected, " if request.expected else ""
    return f"""{first}import shiftlens as sl
from shiftlens.app import compare_shift, shift_figure

{session.load_code}
{measured.shift_code(request.area)}
prompts = {prompts}
{expected if request.expected else ""}\
comparison = compare_shift(model, shift, prompts, {answers}strength={request.strength})
print(comparison.table)
shift_figure(comparison, "{language}").show()"""
