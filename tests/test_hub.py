import json

import pytest

from shiftlens import ShiftlensError, load_corpus
from shiftlens.hub import hub_rows
from shiftlens.sft import load_records


def dataset(folder, *rows, split="train"):
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_records_and_parallel_text_of_a_dataset_are_those_of_its_file(tmp_path):
    rows = [{"id": str(n), "en": f"word {n}", "sw": f"neno {n}"} for n in range(3)]
    folder = dataset(tmp_path / "text", *rows)
    assert load_corpus(f"hf:{folder}:train") == load_corpus(folder / "train.jsonl")
    assert load_corpus(f"hf:{folder}", ["sw"]).texts == {"sw": ("neno 0", "neno 1", "neno 2")}
    records = [{"language": "sw", "prompt": f"{n}?", "completion": " a"} for n in range(2)]
    folder = dataset(tmp_path / "sft", *records, split="test")
    assert load_records(f"hf:{folder}:test") == load_records(folder / "test.jsonl")


def test_a_bad_row_is_named(tmp_path):
    folder = dataset(tmp_path / "sft", {"language": "sw", "prompt": "a?"})
    with pytest.raises(ShiftlensError, match=r"line 1: the key 'completion' is missing"):
        load_records(f"hf:{folder}")
    folder = dataset(tmp_path / "text", {"en": "one", "es": 1})
    with pytest.raises(ShiftlensError, match=r"line 1: 'es' is 1; make it a string"):
        load_corpus(f"hf:{folder}")


def test_rows_without_an_id_have_their_number(tmp_path):
    folder = dataset(tmp_path / "text", {"en": "one"}, {"en": "two"})
    assert load_corpus(f"hf:{folder}").ids == ("1", "2")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf:openai/gsm8k", "has no revision.*write hf:openai/gsm8k@COMMIT"),
        ("hf:", "names no dataset"),
        ("hf:a/b@c@d", "names no dataset"),
        ("hf:nobody/nothing@main#x:test", "cannot be had"),
        ("hf:/no/such/folder", "cannot be had"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(source, message):
    with pytest.raises(ShiftlensError, match=message) as caught:
        hub_rows(source)
    assert "\n" not in str(caught.value)
