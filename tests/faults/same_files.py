"""What a run folder says of what was found, to compare with another."""

import pandas as pd

from shiftlens.repeated_files import CLOCK

TIMED = ("trainer_state.json", "training_args.bin", "contrast.json")
"""Files of a training with times or its own path in them, or the hashes of such."""


def contents(folder):
    """Bytes of every file that says what a run found.

    The settings are without their own folder, and the log is without its times.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".lock" and path.name not in TIMED:
            data = path.read_bytes()
            if path.name == "log.csv":
                data = pd.read_csv(path, dtype=str).drop(columns=[*CLOCK], errors="ignore")
                data = data.to_csv().encode()
            found[str(path.relative_to(folder))] = data.replace(str(folder).encode(), b"OUT")
    return found


def differing(one, other):
    """Names of the files that are not the same."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
