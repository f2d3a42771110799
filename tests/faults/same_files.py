"""What a run folder says of what was found, to compare with another."""

TIMED = ("trainer_state.json", "training_args.bin", "log.csv", "contrast.json")
"""Files of a training with times or its own path in them."""


def contents(folder):
    """Bytes of every file that says what a run found; the settings without their own folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".lock" and path.name not in TIMED:
            data = path.read_bytes()
            found[str(path.relative_to(folder))] = data.replace(str(folder).encode(), b"OUT")
    return found


def differing(one, other):
    """Names of the files that are not the same."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
