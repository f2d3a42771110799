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
    "area 5-2 is not two layers a < b": [*TRAIN, "--area", "5-2"],
    "unknown dtype 'f16'": [*TRAIN, "--dtype", "f16"],
    "training in float16 is not": [*TRAIN, "--dtype", "float16"],
    "unknown device 'gpu'; choose auto": [*SWEEP, "--device", "gpu"],
    "unknown device 'cuda:x'": [*TRAIN, "--device", "cuda:x"],
    "unknown metric 'warp'; choose from": [*SWEEP, "--metric", "warp"],
    "shrinkage: 'some'": [*SWEEP, "--shrinkage", "some"],
    "unknown projection 'pca'; choose from none, ": [*SWEEP, "--projection", "pca"],
    "the share of layers must lie between 0 and 1, not 2": [*SWEEP, "--share", "2"],
    "unknown kind 'push'": [*STEER, "--source", "fi", "--target", "en", "--kind", "push"],
    "positions are 'some'; choose all or last": [
        *("lens", "--model", "demo", "--corpus", "demo", "--out", "x", "--positions", "some"),
    ],
    "give either --records FILE or --lm-eval TASKS": ["eval", "demo"],
    "max_new_tokens is 0": ["eval", "demo", "--records", "demo:test", "--max-new-tokens", "0"],
    "cannot write nothing: it is a folder": [
        *("eval", "demo", "--records", "demo:test", "--out", "nothing"),
    ],
    "nothing holds no trained model": ["export", "nothing", "--out", "x"],
    "trained: its arm makes no shift": ["export", "trained", "--out", "x"],
    "a full checkpoint is for one language, not for all": [
        *("export", "shifted", "--out", "x", "--bake"),
    ],
    "nothing exists; give a folder that does not": ["export", "shifted", "--out", "nothing"],
    "nothing is no run folder": ["report", "nothing"],
    "other holds a run of lens: its tables and figures are in": ["plot", "other"],
    "other holds a run of lens: ": ["repeat", "other"],
    "cannot write nothing: ": ["report", "swept", "--out", "nothing"],
    "none.txt: no such file or folder": ["report", "swept", "--labels", "none.txt"],
    "run folder nowhere does not exist": ["report", "nowhere"],
    "run folder none does not exist": ["repeat", "none"],
    "run folder runs/2 does not exist": ["compare", "nothing", "runs/2"],
    "nothing is no run folder: it has": ["compare", "swept", "nothing"],
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
    for name, config in (("other", LensConfig), ("swept", SweepConfig)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(to_yaml(config("demo", "demo", "x")))
    for name in ("trained", "shifted"):
        (tmp_path / name / "model").mkdir(parents=True)
    (tmp_path / "shifted" / "model" / "shift.json").write_text("{}")
    command = [sys.executable, "-c", CODE, json.dumps(list(MISTAKES.values()))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == [[2] * len(MISTAKES), []]
    lines = done.stderr.splitlines()
    assert len(lines) == len(MISTAKES)
    for line, words in zip(lines, MISTAKES, strict=True):
        assert line.startswith(f"shiftlens: {words}"), line
    there = ["nothing", "other", "shifted", "swept", "trained"]
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_what_can_be_passes(tmp_path):
    for name in ("model", "trained/model", "xcopa/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    out = str(tmp_path / "out")
    for device in ("auto", "cpu", "cuda:1", "map", "mps"):
        check_asked(SweepConfig("demo", "demo", out, device=device, metric="mexa,shifcon"))
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
