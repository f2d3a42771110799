"""Fuzz every loader and every input of the page, and print what came of it.

python tests/fuzz --inputs 10000
python tests/fuzz --only "shift" --seed 3
"""

import argparse
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_run import Outcome, Target, fuzz, peak_megabytes
from fuzz_targets import all_targets

from shiftlens.config import SweepConfig
from shiftlens.runs import run_sweep

MEMORY = 3 * 2**30
"""How much more address space the process may take once everything is loaded."""


def small_runs(root: Path) -> tuple[Path, Path]:
    """The folders of a finished sweep and a finished training."""
    sys.path.append(str(Path(__file__).parents[1]))
    from test_before_after import config_of, make_files, quiet

    swept, trained = root / "swept", root / "trained"
    run_sweep(SweepConfig("demo", "demo", str(swept), sentences=24, device="cpu"), lambda _: None)
    (root / "files").mkdir()
    files = make_files(root / "files")
    quiet(config_of(files, trained, test=str(files / "sft.jsonl")))
    return swept, trained


def bound_memory() -> None:
    """Let a blow-up be a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def report(targets: list[Target], outcomes: list[Outcome], grown: float) -> int:
    """Print the counts; the number of failures."""
    print(
        f"{'loader':34} {'inputs':>7} {'refused':>8} {'accepted':>9} {'failed':>7} {'slowest':>9}"
    )
    for target, outcome in zip(targets, outcomes, strict=True):
        refused, accepted = outcome.counts["refused"], outcome.counts["accepted"]
        failed = len(outcome.failures)
        total = refused + accepted + failed
        print(
            f"{target.name:34} {total:7} {refused:8} {accepted:9} {failed:7} "
            f"{outcome.slowest:7.2f} s"
        )
        kinds = {what: number for number, what in reversed(outcome.failures.items())}
        for what, number in kinds.items():
            print(f"    input {number}: {what}")
    counts = [sum(o.counts[kind] for o in outcomes) for kind in ("refused", "accepted")]
    failed = sum(len(outcome.failures) for outcome in outcomes)
    print(
        f"{sum(counts) + failed} inputs: {counts[0]} refused in one line, {counts[1]} accepted, "
        f"tracebacks {failed}; memory grew by {grown:.0f} MB"
    )
    return failed


def main() -> int:
    """Fuzz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="inputs in all, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="loaders whose name has this in it")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        targets = all_targets(root, *small_runs(root))
        targets = [target for target in targets if options.only in target.name]
        each = round(options.inputs / sum(target.weight for target in targets)) + 1
        bound_memory()
        before = peak_megabytes()
        outcomes = [fuzz(target, each, options.seed) for target in targets]
        return 1 if report(targets, outcomes, peak_megabytes() - before) else 0


if __name__ == "__main__":
    sys.exit(main())
