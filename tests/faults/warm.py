"""A process that has imported everything, and forks one run at a time for a test to kill.

Run as a script it reads a line of JSON a run from stdin, ``{"what": ..., "out": ..., ...}``, forks,
and prints the child's exit status.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from killing import await_child, count_touches


def sweep(out: str, home: str) -> None:
    """A small sweep of several shards."""
    from shiftlens.config import SweepConfig
    from shiftlens.runs import run_sweep

    base, texts = f"{home}/base", f"{home}/parallel"
    run_sweep(SweepConfig(base, texts, out, device="cpu", batch_tokens=64), print)


def train(out: str, home: str, **changes: Any) -> None:
    """A small training with checkpoints, sweeps and a test."""
    from test_before_after import config_of, quiet

    files = Path(home)
    quiet(config_of(files, out, **{"test": str(files / "sft.jsonl"), "steps": 12, **changes}))


def export(out: str, home: str, full: bool = False) -> None:
    """The export of a finished training."""
    from shiftlens.export import export_run

    export_run(f"{home}/trained", out, "es" if full else None, full)


def report(out: str, home: str) -> None:
    """The page and every figure of a finished sweep."""
    from shiftlens.cli import main

    run = f"{home}/swept"
    codes = [main(["report", run, "--out", f"{out}/report.html"])]
    codes.append(main(["plot", run, "--out", f"{out}/figures", "--only", "layer_distance"]))
    if any(codes):
        raise SystemExit(max(codes))


RUNS = {"sweep": sweep, "train": train, "export": export, "report": report}


def child(asked: dict[str, Any]) -> int:
    """Do a run; 0, or 2 and one line on stderr where it was refused."""
    from shiftlens.errors import ShiftlensError

    what = asked.pop("what")
    if "file_bytes" in asked:
        import resource

        limit = asked.pop("file_bytes")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if asked.pop("nobody", False):
        os.setgid(65534)
        os.setuid(65534)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            RUNS[what](**asked)
    except ShiftlensError as error:
        print(error, file=sys.stderr)
        return 2
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def forked(asked: dict[str, Any], errors: Path) -> None:
    """Fork one run and say how it ends."""
    stop_at, rest = asked.pop("stop_at", None), asked.pop("rest", 0.0)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 2)
        count_touches(asked["out"], errors.with_name("touches"), stop_at)
        code = 1
        try:
            code = child(asked)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code, usage = await_child(pid, rest)
    print(json.dumps({"code": code, "cpu": usage.ru_utime + usage.ru_stime}), flush=True)


def warm_up(home: Path) -> None:
    """Import what runs import late, and leave a base model, texts and finished runs."""
    import torch
    from test_before_after import make_files

    torch.set_num_threads(1)
    make_files(home)
    with contextlib.redirect_stdout(io.StringIO()):
        train(str(home / "trained"), str(home))
        sweep(str(home / "swept"), str(home))
        export(str(home / "exported"), str(home))
        (home / "page").mkdir()
        report(str(home / "page"), str(home))


def serve(home: Path) -> None:
    """Fork what is asked for, until there is no more."""
    real = os.dup(1)
    os.dup2(2, 1)  # what libraries print goes to stderr
    warm_up(home)
    sys.stdout.flush()
    os.dup2(real, 1)
    print("ready", flush=True)
    for line in sys.stdin:
        forked(json.loads(line), home / "errors.txt")


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
    os._exit(0)  # nothing is left to do, and torch takes long to go
