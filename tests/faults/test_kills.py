"""Killed at any moment, a run ends as if it had not been once it is given again."""

import shutil
import signal

import pytest
from killing import Moment, fresh_seed, moments_of
from same_files import contents, differing


def kill(warm, undisturbed, what, out, moment):
    """Kill one run at a moment; its exit code, 0 where it had ended before."""
    stop_at = int(moment.share * undisturbed[what][1].touches)
    code = warm.run(what, out, stop_at=stop_at, rest=moment.rest).code
    assert code == -signal.SIGKILL or (code == 0 and moment.rest > 0)
    return code


def survive(warm, undisturbed, what, folder, moments):
    """Kill one run at each moment, and give it again; how many died midway."""
    expected, midway = undisturbed[what][0], 0
    for number, moment in enumerate(moments):
        out = folder / f"{what}-{number}"
        code = kill(warm, undisturbed, what, out, moment)
        midway += code != 0
        if code == 0 and what == "export":
            shutil.rmtree(out)  # a finished export is not written over
        if not (what == "export" and out.exists()):
            warm.done(what, out)
        assert differing(contents(out), expected) == [], f"{what} killed at {moment}"
        shutil.rmtree(out)
    left = [path.name for path in folder.iterdir() if path.suffix != ".lock"]
    assert left == []
    print(f"{what}: {len(moments)} kills, {midway} of them midway; all ended with the same bytes")
    return midway


@pytest.mark.parametrize("what", ["sweep", "train", "export"])
def test_a_killed_run_given_again_ends_with_the_same_bytes(warm, undisturbed, tmp_path, what):
    moments = [Moment(0.3), Moment(0.6)]
    assert survive(warm, undisturbed, what, tmp_path, moments) == len(moments)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "kills"), [("sweep", 20), ("train", 20), ("export", 10)])
def test_fifty_runs_killed_at_random_end_with_the_same_bytes(
    warm, undisturbed, tmp_path, what, kills
):
    a_tenth = undisturbed[what][1].seconds / 10
    moments = moments_of(fresh_seed(), kills, a_tenth)
    assert survive(warm, undisturbed, what, tmp_path, moments) >= kills / 2


@pytest.mark.slow
def test_a_training_killed_again_and_again_gets_to_its_end(warm, undisturbed, tmp_path):
    """Each run goes on from the last checkpoint of the one before."""
    for share in (0.5, 0.4):
        assert kill(warm, undisturbed, "train", tmp_path / "run", Moment(share)) != 0
    warm.done("train", tmp_path / "run")
    assert differing(contents(tmp_path / "run"), undisturbed["train"][0]) == []
