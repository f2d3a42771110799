"""Settings of a run: one dataclass behind the command line, YAML and Python."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import yaml

from shiftlens.errors import ShiftlensError
from shiftlens.languages import DOMINANT

RECORDED = ("shiftlens", "torch", "transformers", "transformer-lens", "numpy", "scikit-learn")


@dataclass
class SweepConfig:
    """Settings of a layer-distance sweep.

    Attributes:
        model: Local directory or hub id of a Hugging Face model.
        corpus: Folder of xx.txt files aligned by line, or of xx.tsv or xx.jsonl aligned by id, or
            one such table with a column a language.
        out: Run folder; a run that stopped goes on here.
        languages: BCP-47 codes, comma-separated; every language of the corpus if left out.
        dominant: The dominant language.
        metric: Metrics, comma-separated; the first one chooses the area. See shiftlens metrics.
        shrinkage: Rule for all covariances: ledoit-wolf, oas, or a fixed alpha from 0 to 1.
        share: Share of the layers that the area takes (beta).
        sentences: Use the first N sentences only.
        keep_intersection: Drop sentences that some language lacks instead of refusing them.
        special_tokens: Pool BOS, EOS, CLS and SEP too.
        skip_first: Leave out the text's first token, an attention sink in models without BOS.
        max_length: Longest text in tokens; longer ones are cut, and counted.
        batch_tokens: Most tokens, padding included, in one forward pass.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
        seed: Seed of the halving of the sentences.
    """

    model: str
    corpus: str
    out: str
    languages: str | None = None
    dominant: str = DOMINANT
    metric: str = "affine_invariant,mean_distance,mean_distance_rms,shifcon"
    shrinkage: str = "ledoit-wolf"
    share: float = 0.3
    sentences: int | None = None
    keep_intersection: bool = False
    special_tokens: bool = False
    skip_first: bool = False
    max_length: int = 512
    batch_tokens: int = 4096
    dtype: str = "float32"
    device: str = "auto"
    seed: int = 0


def to_yaml(config: Any) -> str:
    """A settings file that repeats the run, with the versions it ran with in its first line."""
    versions = ", ".join(f"{name} {version(name)}" for name in RECORDED)
    header = f"# python {python_version()}, {versions}\n"
    return header + yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def yaml_arguments(path: str | Path) -> list[str]:
    """Read a settings file as the command-line arguments that say the same.

    Args:
        path: A YAML mapping from setting to value; a list stands for a comma-separated value.

    Returns:
        Arguments such as ``["--model", "m", "--no-skip-first"]``; settings that are null are left
        out.

    Raises:
        ShiftlensError: The file cannot be read, or is not a mapping.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ShiftlensError(f"cannot read settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ShiftlensError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ShiftlensError(f"{path} is not a mapping from settings to values")
    arguments: list[str] = []
    for key, value in settings.items():
        name = str(key).replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            arguments += [f"--{name}", text]
    return arguments
