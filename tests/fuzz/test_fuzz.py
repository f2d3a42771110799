"""Whatever a loader or the page is given, it takes it or refuses it in one line."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from finished_runs import files, trained  # noqa: F401
from fuzz_mutations import any_value
from fuzz_page import page_fields
from fuzz_run import Target, attempt, fuzz, peak_megabytes
from fuzz_targets import all_targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftlens.app.links import read_link
from shiftlens.corpora import load_corpus
from shiftlens.settings import yaml_arguments
from shiftlens.sft import load_records

EACH = 8


@pytest.fixture(scope="module")
def targets(swept, trained, tmp_path_factory):  # noqa: F811
    return all_targets(tmp_path_factory.mktemp("fuzz"), swept, trained)


def test_spoiled_inputs_are_taken_or_refused_in_one_line(targets):
    before = peak_megabytes()
    outcomes = {target.name: fuzz(target, EACH, seed=1) for target in targets}
    failures = {name: found.failures for name, found in outcomes.items() if found.failures}
    assert failures == {}
    counts = [
        sum(found.counts[kind] for found in outcomes.values()) for kind in ("refused", "accepted")
    ]
    assert sum(counts) > 200 and min(counts) > 30, "the inputs are not of both kinds"
    assert peak_megabytes() - before < 1000


def test_a_loader_that_fails_is_caught():
    """The driver itself: what is no refusal is counted as a failure, a hang too."""

    def offer(rng):
        return lambda: any_value(rng).no_such_name

    broken = fuzz(Target("broken", offer), 5)
    assert len(broken.failures) == 5 and "AttributeError" in broken.failures[0]
    assert attempt(lambda: None) == "accepted"


FAST = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FAST
@given(st.binary(max_size=300), st.sampled_from(["c.tsv", "c.jsonl", "s.yaml", "en.txt"]))
def test_any_bytes_are_taken_or_refused(content, name):
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        calls = [lambda: yaml_arguments(path), lambda: load_records(path)]
        if name != "s.yaml":
            calls.append(lambda: load_corpus(path.parent if name == "en.txt" else path))
        assert {attempt(call) for call in calls} <= {"accepted", "refused"}


@FAST
@given(st.text(max_size=200), st.sampled_from(["", "?view=patch&clean=", "?view=shift&a="]))
def test_any_link_is_taken_or_refused(query, start):
    assert attempt(lambda: read_link(start + query, page_fields())) in ("accepted", "refused")


@pytest.mark.slow
def test_ten_thousand_spoiled_inputs_are_taken_or_refused_in_one_line():
    """The command that the documentation names: with bounds on time and memory."""
    command = [sys.executable, str(Path(__file__).parent), "--inputs", "10000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    total = int(done.stdout.splitlines()[-1].split()[0])
    assert total >= 10_000 and "tracebacks 0" in done.stdout
