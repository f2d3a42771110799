"""A slip in a path or a setting is told at once: before torch and the like are imported."""

import json
import subprocess
import sys

import pytest

from shiftlens.asked import check_asked
from shiftlens.cli import main
from shiftlens.config import SweepConfig, TrainConfig, to_yaml
from shiftlens.errors import ShiftlensError
from shiftlens.lens_config import LensConfig
from shiftlens.settings import preset_path, read_settings

SWEEP = ["sweep", "--model", "demo", "--corpus", "demo", "--out", "x"]
TRAIN = ["train", "--model", "demo", "--sft", "demo:train", "--parallel", "demo", "--out", "x"]
STEER = ["steer", "--model", "demo", "--records", "demo:test", "--layer", "1", "--out", "x"]
MISTAKES = {
    "model directory './nowhere' does not exist": [*SWEEP, "--model", "./nowhere"],
    "model directory 'nowhere/config.json' does not": [
        *("plan", "--model", "nowhere/config.json", "--languages", "2", "--sentences", "9"),
    ],
    "'.' holds no config.json": ["check", "."],
    "nowhere: no such file or folder": [*SWEEP, "--corpus", "nowhere"],
    "nowhere.jsonl: no such file or folder": [*TRAIN, "--sft", "nowhere.jsonl"],
    "nowhere:val: no such file or folder": [*TRAIN, "--test", "nowhere:val"],
    "none.tsv: no such file or folder": [
        *("neurons", "--model", "demo", "--out", "x", "--held-out", "none.tsv"),
    ],
    "'e n' is not a BCP-47": [*SWEEP, "--dominant", "e n"],
    "'zzz9' is not a BCP-47": [*SWEEP, "--languages", "en,zzz9"],
    "'Finnish' is not a BCP-47": [*STEER, "--source", "Finnish", "--target", "en"],
    "batch_tokens is 0": [*SWEEP, "--batch-tokens", "0"],
    "unknown dtype 'f32'": [*SWEEP, "--dtype", "f32"],
    "unknown arm 'shif'": [*TRAIN, "--arm", "shif"],
    "warmup is 2.0": [*TRAIN, "--warmup", "2"],
    "area '5' is not": [*TRAIN, "--area", "5"],
    "run folder nowhere does not exist": ["report", "nowhere"],
    "run folder none does not exist": ["repeat", "none"],
    "run folder runs/2 does not exist": ["compare", "nothing", "runs/2"],
    "cannot read settings file no.yaml": ["sweep", "--config", "no.yaml"],
    "other holds a run of lens": [*SWEEP, "--out", "other"],
    ". is a folder of runs (other)": ["demo", "--out", "."],
}
HEAVY = ("torch", "transformers", "transformer_lens", "pandas", "sklearn", "matplotlib")
CODE = f"""
import json, sys
from shiftlens.cli import main
codes = [main(given) for given in json.loads(sys.argv[1])]
print(json.dumps([codes, [name for name in {HEAVY} if name in sys.modules]]))
"""


def test_mistakes_are_told_before_anything_heavy_is_imported(tmp_path):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text(to_yaml(LensConfig("demo", "demo", "x")))
    command = [sys.executable, "-c", CODE, json.dumps(list(MISTAKES.values()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == [[2] * len(MISTAKES), []]
    lines = done.stderr.splitlines()
    assert len(lines) == len(MISTAKES)
    for line, words in zip(lines, MISTAKES, strict=True):
        assert line.startswith(f"shiftlens: {words}"), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nothing", "other"]


def test_what_can_be_passes(tmp_path):
    for name in ("model", "trained/model", "xcopa/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    out = str(tmp_path / "out")
    for model in ("demo", "bigscience/bloom-560m", "gpt2", str(tmp_path / "model")):
        check_asked(SweepConfig(model, "demo", out))
    check_asked(SweepConfig("demo", f"{tmp_path}/xcopa/data:val", out))
    check_asked(SweepConfig("demo", "hf:owner/name@main", out))
    check_asked(LensConfig(str(tmp_path / "trained"), "demo", out, records="demo:test"))
    check_asked(TrainConfig(**read_settings(preset_path("demo"), TrainConfig), out=out))
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_a_folder_of_runs(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(ShiftlensError, match="is a file"):
        check_asked(SweepConfig("demo", "demo", str(tmp_path / "file")))
    assert main(["report", str(tmp_path / "file")]) == 2
    assert "run folder" in capsys.readouterr().err
