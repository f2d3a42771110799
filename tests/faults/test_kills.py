"""Killed at any moment, a run ends as if it had not been once it is given again."""

import random
import shutil
import signal

import pytest
from same_files import contents, differing


def survive(warm, undisturbed, what, folder, moments):
    """Kill one run at each share of its time, and give it again; how many died midway."""
    expected, seconds = undisturbed[what]
    midway = 0
    for number, moment in enumerate(moments):
        out = folder / f"{what}-{number}"
        code = warm.run(what, out, kill_after=moment * seconds).code
        assert code in (0, -signal.SIGKILL)
        midway += code != 0
        if code == 0 and what == "export":
            shutil.rmtree(out)  # a finished export is not written over
        if not (what == "export" and out.exists()):
            warm.done(what, out)
        assert differing(contents(out), expected) == [], f"{what} killed at {moment:.3f}"
        shutil.rmtree(out)
    left = [path.name for path in folder.iterdir() if path.suffix != ".lock"]
    assert left == []
    print(f"{what}: {len(moments)} kills, {midway} of them midway; all ended with the same bytes")
    return midway


@pytest.mark.parametrize("what", ["sweep", "train", "export"])
def test_a_killed_run_given_again_ends_with_the_same_bytes(warm, undisturbed, tmp_path, what):
    assert survive(warm, undisturbed, what, tmp_path, [0.3, 0.7]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize(("what", "kills"), [("sweep", 20), ("train", 20), ("export", 10)])
def test_fifty_runs_killed_at_random_end_with_the_same_bytes(
    warm, undisturbed, tmp_path, what, kills
):
    rng = random.Random(what)
    moments = [rng.uniform(0.02, 0.98) for _ in range(kills)]
    assert survive(warm, undisturbed, what, tmp_path, moments) >= kills / 2


@pytest.mark.slow
def test_a_training_killed_again_and_again_gets_to_its_end(warm, undisturbed, tmp_path):
    """Each run goes on from the last checkpoint of the one before."""
    expected, seconds = undisturbed["train"]
    for share in (0.5, 0.4):
        warm.run("train", tmp_path / "run", kill_after=share * seconds)
    warm.done("train", tmp_path / "run")
    assert differing(contents(tmp_path / "run"), expected) == []
