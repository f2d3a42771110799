"""The model card of an exported model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import transformers
import yaml

from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.languages import language_name
from shiftlens.models import LanguageModel
from shiftlens.settings import read_settings
from shiftlens.shift import Shift

DELTAS_CODE = """from safetensors.torch import load_file
from transformers import {factory}, AutoTokenizer

model = {factory}.from_pretrained("FOLDER/base")
tokenizer = AutoTokenizer.from_pretrained("FOLDER/base")
model.load_state_dict(load_file("FOLDER/deltas/{language}.safetensors"), strict=False)"""

FULL_CODE = """from transformers import {factory}, AutoTokenizer

model = {factory}.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")"""


@dataclass(frozen=True)
class Facts:
    """What a card tells of a training.

    Attributes:
        config: Its settings.
        inputs: Hashes of its model and data, by setting.
        sha256: Hash of the trained model.
        area: Layers (a, b) of the shift.
        dominant: The dominant language.
        results: Test results before and after, one row a language; None without a test.
    """

    config: dict[str, Any]
    inputs: dict[str, str]
    sha256: str
    area: tuple[int, int]
    dominant: str
    results: pd.DataFrame | None


def run_facts(run: Path, model: LanguageModel, shift: Shift) -> Facts:
    """Read what a training wrote about itself.

    Args:
        run: The run folder.
        model: Its trained model.
        shift: Its shift.

    Raises:
        ShiftlensError: A file is missing or damaged.
    """
    try:
        config = read_settings(run / "config.yaml", TrainConfig)
        inputs = json.loads((run / "inputs.json").read_text(encoding="utf-8"))
        table = run / "results.csv"
        results = pd.read_csv(table, keep_default_na=False) if table.exists() else None
    except (OSError, ValueError) as error:
        raise ShiftlensError(f"{run} is not a finished training ({error})") from error
    return Facts(config, inputs, model.sha256, shift.area, shift.dominant, results)


def model_card(
    facts: Facts, hf: transformers.PreTrainedModel, languages: Sequence[str], deltas: str = ""
) -> str:
    """Write the card: base, languages, area, data, evaluation, how to load it, how it was made.

    Args:
        facts: What the run says of itself.
        hf: The model that is exported.
        languages: Languages that it is exported for.
        deltas: Folder of the languages' files; empty for a full checkpoint.

    Returns:
        Markdown with the metadata that the Hugging Face hub reads.
    """
    kind = "ForMaskedLM" if type(hf).__name__.endswith("ForMaskedLM") else "ForCausalLM"
    code = (DELTAS_CODE if deltas else FULL_CODE).format(
        factory=f"AutoModel{kind}", language=languages[-1]
    )
    data = {
        name: f"{Path(facts.config[name]).name}, SHA-256 {facts.inputs[name]}"
        for name in ("sft", "parallel")
    }
    base = _portable(facts.config["model"])
    for_whom = ", ".join(map(language_name, languages))
    return _template().render(
        title=f"{base}, shifted: {for_whom}" if len(languages) < 4 else f"{base}, shifted",
        base=base,
        architecture=type(hf).__name__,
        languages=languages,
        area=facts.area,
        dominant=facts.dominant,
        sha256=facts.inputs["model"],
        model_sha256=facts.sha256,
        data=data,
        version=version("shiftlens"),
        transformers=transformers.__version__,
        code=code,
        test=Path(facts.config["test"] or "").name,
        evaluation=_evaluation(facts.results, languages),
        settings=yaml.safe_dump(
            {name: _portable(value) for name, value in facts.config.items() if name != "out"},
            sort_keys=False,
            allow_unicode=True,
        ).rstrip(),
    )


def _template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("shiftlens"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template("card.md")


def _portable(value: Any) -> Any:
    """A setting without the place of a file on the machine that it was made on."""
    return Path(value).name if isinstance(value, str) and Path(value).exists() else value


def _evaluation(results: pd.DataFrame | None, languages: Sequence[str]) -> str:
    """Exact match and perplexity before and after, a row a language, in Markdown."""
    if results is None:
        return ""
    rows = ["| language | n | exact match | perplexity |", "|---|---|---|---|"]
    sides = {when: table.set_index("language") for when, table in results.groupby("when")}
    for code in languages:
        if code in sides["after"].index:
            before, after = (sides[when].loc[code] for when in ("before", "after"))
            rows.append(
                f"| {code} | {after['n']:.0f} "
                f"| {before['exact_match']:.3f} → {after['exact_match']:.3f} "
                f"| {before['perplexity']:.3f} → {after['perplexity']:.3f} |"
            )
    return "\n".join(rows)
