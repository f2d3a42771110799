"""What `shiftlens sweep` can be asked for beyond its defaults."""

import json

import numpy as np
import pandas as pd
import pytest
from test_runs import contents, home, settings, silent  # noqa: F401 - home is a fixture

from shiftlens.cli import main
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import Moments, affine_invariant, summary_of_factor
from shiftlens.runs import run_sweep
from shiftlens.sweep import sweep_layers


def test_tokens_are_swept_by_their_moments(home, tmp_path):  # noqa: F811
    said = []
    run = run_sweep(settings(home, tmp_path / "run", states="tokens"), said.append)
    table = run.sweep.table
    assert {path.name for path in run.out.iterdir() if path.is_dir()} == {"token_moments"}
    first, second = (run.store.moments("es", 2, half) for half in (0, 1))
    dominant = [run.store.moments("en", 2, half) for half in (1, 0)]
    assert first.count > 24 > len(set(table["n"]))
    expected = np.mean(
        [
            affine_invariant(*(summary_of_factor(moments.factor()) for moments in pair))
            for pair in zip((first, second), dominant, strict=True)
        ]
    )
    row = table.query("layer == 2 and language == 'es' and metric == 'affine_invariant'")
    assert row["value"].item() == pytest.approx(expected, rel=1e-12)
    assert row["n"].item() == first.count
    tokens = pd.read_csv(run.out / "tokens.csv").set_index("language")
    begun = 24  # BOS of every sentence is counted there and not pooled
    both = first.count + second.count + begun
    assert both == pytest.approx(tokens.loc["es", "tokens_per_sentence"] * 24, abs=0.02)
    assert "MB of token moments" in said[0]
    assert isinstance(first, Moments)
    assert main(["verify", str(run.out)]) == 0


def test_a_token_run_is_resumed_to_the_same_bytes(home, tmp_path):  # noqa: F811
    asked = settings(home, tmp_path / "run", states="tokens")
    run_sweep(asked, silent)
    before = contents(tmp_path / "run")
    shard = next((tmp_path / "run" / "token_moments").glob("fi*.safetensors"))
    shard.unlink()
    run_sweep(asked, silent)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "shifcon,mexa"}, "metric 'mexa' needs sentence vectors"),
        ({"groups": 4}, "intervals and projections need sentence vectors"),
        ({"projection": "lsar"}, "intervals and projections need sentence vectors"),
    ],
)
def test_what_tokens_cannot_give_is_refused_first(home, tmp_path, changes, message):  # noqa: F811
    with pytest.raises(ShiftlensError, match=message):
        run_sweep(settings(home, tmp_path / "run", states="tokens", **changes), silent)
    assert not (tmp_path / "run").exists()


def test_a_projection_is_a_second_sweep_beside_the_first(home, tmp_path):  # noqa: F811
    said = []
    asked = settings(home, tmp_path / "run", projection="centre", groups=3, metric="mean_distance")
    run = run_sweep(asked, said.append)
    names = {path.name for path in run.out.iterdir()}
    assert {"sweep_centre.csv", "sweep_centre.parquet", "layer_distance_centre.png"} <= names
    table = pd.read_parquet(run.out / "sweep_centre.parquet")
    pd.testing.assert_frame_equal(table, run.projected.table, check_exact=True)
    plain = sweep_layers(run.store, metrics="mean_distance", groups=3, held_out=True)
    pd.testing.assert_frame_equal(plain.table, run.sweep.table)
    assert (run.sweep.table["low"] < run.sweep.table["value"]).all()
    assert json.loads((run.out / "area.json").read_text())["area"]["start"] == plain.area.start
    assert "before and after centre" in "\n".join(said)
    moved = run.projected.table["value"] < run.sweep.table["value"]
    assert (moved | (run.sweep.table["language"] == "en")).all()
    run_sweep(settings(home, tmp_path / "run", metric="mean_distance"), silent)
    assert not [path for path in run.out.iterdir() if "centre" in path.name]
