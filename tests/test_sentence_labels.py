"""Labels of sentences: those of the demo's ids, and those read from files."""

import pytest

import shiftlens as sl
from shiftlens.errors import ShiftlensError
from shiftlens.sentence_labels import demo_labels, read_labels


def test_the_demos_labels_are_the_tasks_of_its_ids():
    corpus = sl.load_corpus("demo")
    labels = demo_labels(corpus.ids)
    words = {"larger": "larger", "smaller": "smaller", "plus": "plus", "next": "after"}
    words["previous"] = "before"
    for label, text in zip(labels, corpus.texts["en"], strict=True):
        assert words[label] in text.lower(), (label, text)
    with pytest.raises(ShiftlensError, match="'wiki-3' is not of the demo"):
        demo_labels(["plus-1-2", "wiki-3"])


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_are_read_by_line_and_by_id(tmp_path):
    ids = ("b", "a", "c")
    by_line = written(tmp_path, "labels.txt", "news\n thai ไทย \nnews\n")
    assert read_labels(by_line, ids) == ("news", "thai ไทย", "news")
    by_id = written(tmp_path, "labels.tsv", "a\tsport\nx\tunused\nc\tnews\nb\ttravel\n")
    assert read_labels(by_id, ids) == ("travel", "sport", "news")
    lines = "".join(f'{{"id": "{name}", "label": "{name}{name}"}}\n' for name in "abc")
    assert read_labels(str(written(tmp_path, "labels.jsonl", lines)), ids) == ("bb", "aa", "cc")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.txt", "news\n\nnews\n", "labels.txt, line 2: the label is empty"),
        ("labels.txt", "a\tnews\nb\tnews\nc\tx\n", "labels.txt, line 1: a tab .* in .tsv"),
        ("labels.txt", "news\nnews\n", "labels.txt has 2 lines but the corpus has 3 sentences"),
        ("labels.txt", "", "labels.txt: the file is empty"),
        ("labels.tsv", "a\tnews\nb\n", "labels.tsv, line 2: 1 tab-separated cells; expected 2"),
        ("labels.tsv", "a\tnews\na\tx\n", "labels.tsv, line 2: id 'a' was used in line 1"),
        ("labels.tsv", "a\tnews\nb\tx\n", "labels.tsv has no label for 1 of 3 .* id 'c'"),
        ("labels.tsv", "a\tnews\nb\t\nc\tx\n", "labels.tsv, line 2: the label is empty"),
        ("labels.csv", "a,news\n", "labels.csv: labels are read from a file ending in .txt, .tsv"),
        ("none/labels.txt", None, "labels.txt: cannot be read .No such file"),
    ],
)
def test_labels_that_cannot_be_read_name_file_and_line(tmp_path, name, text, message):
    path = tmp_path / name if text is None else written(tmp_path, name, text)
    with pytest.raises(ShiftlensError, match=message):
        read_labels(path, ("a", "b", "c"))
