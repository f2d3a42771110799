"""Does a training's shifted model answer the same through `evaluate`, through hooks and baked?

Every record of --records is answered three ways: by shiftlens's own greedy decoding, by
lm-evaluation-harness with the shift in hooks, and by lm-evaluation-harness on the checkpoint that
`shiftlens export --bake` writes, loaded again from its folder. Printed for each language are the
right answers of each way and the items on which the three answers are not one and the same text.

Goal: no such item. Exit code 1 if there is one.

Command: python benchmarks/three_ways.py RUN [--records demo:test]
Cost: about a minute of one core for the demo's 1,620 test items.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pandas as pd

from shiftlens import load_model
from shiftlens.answers import generate_answers
from shiftlens.export import export_run
from shiftlens.harness import run_harness, write_tasks
from shiftlens.sft import SftRecord, load_records
from shiftlens.trained import load_trained

WAYS = ("evaluate", "hooks", "baked")


def harness_items(found: dict, task: str) -> tuple[list[str], list[bool]]:
    """The harness's answers to a task, and whether it counts them as right, item by item."""
    samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
    answers = [sample["filtered_resps"][0] for sample in samples]
    return answers, [sample["exact_match"] == 1 for sample in samples]


def three_ways(run: Path, records: Sequence[SftRecord], folder: Path) -> pd.DataFrame:
    """Answer every record three ways.

    Args:
        run: Folder of a finished training whose arm has a shift.
        records: What is asked.
        folder: Gets the harness's tasks and the baked checkpoints.

    Returns:
        One row a record: ``id``, ``language``, and for each way its answer and whether that counts
        as right (``evaluate``, ``evaluate_right``, ...).
    """
    model, shift = load_trained(run / "model", device="cpu")
    languages = [record.language for record in records]
    ours = generate_answers(model, records, shift)
    right = [a == r.completion.strip() for a, r in zip(ours, records, strict=True)]
    ids = [record.id for record in records]
    items = pd.DataFrame(
        {"id": ids, "language": languages, "evaluate": ours, "evaluate_right": right}
    )
    codes = list(dict.fromkeys(languages))
    parts = []
    for code, task in zip(codes, write_tasks(model, records, folder, "items"), strict=True):
        part = items[items["language"] == code].copy()
        place = export_run(run, folder / code, code, full=True, say=lambda _: None)
        hooked = run_harness(model, [task], shift, code, folder=folder)
        baked = run_harness(load_model(place, device="cpu"), [task], folder=folder)
        part["hooks"], part["hooks_right"] = harness_items(hooked, task)
        part["baked"], part["baked_right"] = harness_items(baked, task)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def differing(items: pd.DataFrame) -> pd.DataFrame:
    """The items on which the answers, or what they count as, are not the same three ways."""
    answers = items[list(WAYS)].nunique(axis=1) > 1
    marks = items[[f"{way}_right" for way in WAYS]].nunique(axis=1) > 1
    return items[answers | marks]


def main() -> int:
    """Answer, compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--records", default="demo:test")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        items = three_ways(options.run, load_records(options.records), Path(folder))
    apart = differing(items)
    groups = items.groupby("language", sort=False)
    table = groups[[f"{way}_right" for way in WAYS]].sum().set_axis(WAYS, axis=1)
    table.insert(0, "items", groups.size())
    table["differ"] = apart.groupby("language").size().reindex(table.index, fill_value=0)
    table.loc["all"] = table.sum()
    print(table.to_string())
    if len(apart):
        print(f"\n{apart.to_string(index=False)}")
    return int(len(apart) > 0)


if __name__ == "__main__":
    sys.exit(main())
