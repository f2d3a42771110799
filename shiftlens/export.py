"""What a run made, as files that need no shiftlens: plain checkpoints with the shift baked in."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from safetensors.torch import save_file

from shiftlens.asked import MODEL, check_export
from shiftlens.bake import bake, baked_tensors, carrying
from shiftlens.card import Facts, model_card, run_facts
from shiftlens.files import saving, writing
from shiftlens.languages import language_list
from shiftlens.loading import quietly
from shiftlens.models import LanguageModel
from shiftlens.shift import Shift
from shiftlens.trained import check_weights, load_trained

BASE = "base"
DELTAS = "deltas"
CARD = "README.md"


def export_run(
    run: str | Path,
    out: str | Path,
    language: str | None = None,
    full: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a training's model with its shift in the weights.

    By default the folder holds ``base/``, a plain Hugging Face checkpoint, and for every language
    ``deltas/LANGUAGE.safetensors``, the two biases that make the base its model. With ``full`` it
    is itself a plain checkpoint, for one language. ``README.md`` is the model card.

    Args:
        run: Folder of a ``shiftlens train``.
        out: Folder to write; it must not be there yet, and is complete once it is.
        language: Codes, comma-separated; all that the shift has by default.
        full: One whole checkpoint, for one language.
        say: Receives the lines that a person reads.

    Returns:
        The folder.

    Raises:
        ShiftlensError: The run has no model or no shift, its architecture cannot carry one, a
            language has no vectors, or the folder is there already.
    """
    run, out = Path(run), Path(out)
    check_export(run, out, language, full)
    model, shift = _trained(run)
    known = sorted(shift.vectors.vectors, key=lambda code: code != shift.dominant)
    languages = known if language is None else language_list(language)
    for code in languages:
        shift.vectors[code]
    facts = run_facts(run, model, shift)
    with _partial(out) as folder:
        if full:
            _write_full(folder, model, shift, languages[0], facts)
        else:
            _write_deltas(folder, model, shift, languages, facts)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    say(f"{out}: {', '.join(languages)}, {size / 1e6:.1f} MB; how to load it: {out / CARD}")
    return out


@contextlib.contextmanager
def _partial(out: Path) -> Iterator[Path]:
    """An empty folder that becomes ``out`` once it is complete, held against a second export."""
    partial = out.with_name(out.name + ".partial")
    with saving(out), writing(partial):
        try:
            for left in partial.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield partial
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            partial.with_name(partial.name + ".lock").unlink(missing_ok=True)


def _trained(run: Path) -> tuple[LanguageModel, Shift]:
    model, shift = load_trained(run / MODEL, device="cpu")
    assert shift is not None
    check_weights(run, model)
    return model, shift


def _write_full(
    folder: Path, model: LanguageModel, shift: Shift, language: str, facts: Facts
) -> None:
    baked = bake(model, shift, language)
    _save(baked, folder)
    card = model_card(facts, baked.hf, [language])
    (folder / CARD).write_text(card, encoding="utf-8")


def _write_deltas(
    folder: Path, model: LanguageModel, shift: Shift, languages: Sequence[str], facts: Facts
) -> None:
    base = LanguageModel(carrying(model), model.tokenizer, model.name)
    _save(base, folder / BASE)
    (folder / DELTAS).mkdir()
    for language in languages:
        tensors = baked_tensors(model, shift, language)
        save_file(tensors, folder / DELTAS / f"{language}.safetensors", {"language": language})
    card = model_card(facts, base.hf, languages, DELTAS)
    (folder / CARD).write_text(card, encoding="utf-8")


def _save(model: LanguageModel, folder: Path) -> None:
    with quietly():
        model.hf.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
