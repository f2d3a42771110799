"""What the page can be sent: the fields of its links, and the checks of its views."""

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from shiftlens.app import lens_request, neuron_request, patch_request, shift_request
from shiftlens.app.lens_view import LensView
from shiftlens.app.neuron_view import NeuronView
from shiftlens.app.patch_cells import Cell
from shiftlens.app.patch_view import PatchView
from shiftlens.app.session import Session
from shiftlens.app.shift_view import ShiftView
from shiftlens.app.sweep_view import SweepView
from shiftlens.app.texts import typed_lines, typed_text
from shiftlens.app.worker import Worker
from shiftlens.loading import load_model


@cache
def session() -> Session:
    """The demo's model, open."""
    model = load_model("demo", device="cpu")
    return Session(model, "float32", None, Path(gettempdir()) / "unused", Worker())


@cache
def page_fields() -> dict[str, Any]:
    """View to what it keeps in a link."""
    views = (PatchView, ShiftView, SweepView, LensView, NeuronView)
    return {view.name: view(session()).fields for view in views}


def page_checks() -> dict[str, tuple[Any, list[Any]]]:
    """Each check of a view, and arguments that it takes."""
    here = session()
    return {
        "patch": (
            patch_request.check_request,
            ["a cat", "un gato", "en: x\nes: y", "resid", "logit_difference", "words", "a = b"],
        ),
        "shift": (
            lambda *sent: shift_request.check_request(here, *sent),
            ["own", "es", "hola", [2, 4], 1.0],
        ),
        "lens": (
            lambda *sent: lens_request.check_request(here, (2, 4), *sent),
            ["a cat", "shifted", "es"],
        ),
        "neurons": (
            lambda *sent: neuron_request.check_scale(here, *sent),
            ["a cat", "es", 2.0],
        ),
        "share": (neuron_request.check_share, [0.05]),
        "cell": (Cell.read, ["1.2.3"]),
        "text": (typed_text, ["a cat", "the text"]),
        "lines": (typed_lines, ["a\nb", "the list"]),
    }
