"""MGSM's and XCOPA's folders: their records, their parallel text, and what is refused."""

import json
from pathlib import Path

import pandas as pd
import pytest
from test_export import training

from shiftlens.benchmarks import CONNECTIVES
from shiftlens.cli import main
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.evaluate import evaluate
from shiftlens.numerals import last_number
from shiftlens.sft import SftRecord, load_records
from shiftlens.trained import load_trained

SHARED = Path(__file__).parents[2] / "shared" / "data"
QUESTIONS = {
    "en": [("Ann has 2 pens and buys 3. How many has she?", "5"), ('"Two" tens?', "1,020")],
    "sw": [("Ana ana kalamu 2 na ananunua 3. Ana ngapi?", "5"), ("Makumi mawili?", "1,020")],
}
PREMISES = {
    "en": ["The cup fell.", "I was cold!"],
    "tr": ["Bardak düştü.", "Üşüdüm!"],
    "zh": ["杯子掉了。", "我很冷！"],
}
CHOICES = {
    "en": [("It broke.", "It grew."), ("I left the door open.", "The sun shone.")],
    "tr": [("Islandı.", "İyice büyüdü."), ("Kapı açıktı.", "Güneş vardı.")],
    "zh": [("它碎了。", "它长大了。"), ("门开着。", "有太阳。")],
}
ASKED = [("effect", 0), ("cause", 1)]


@pytest.fixture
def mgsm(tmp_path):
    folder = tmp_path / "mgsm"
    folder.mkdir()
    for code, rows in QUESTIONS.items():
        lines = "".join(f"{question}\t{answer}\n" for question, answer in rows)
        (folder / f"mgsm_{code}.tsv").write_text(lines, encoding="utf-8")
    (folder / "exemplars.py").write_text("MGSM_EXEMPLARS = {}\n")
    (folder / "README.md").write_text("# MGSM\n")
    return folder


def xcopa_rows(code):
    parts = zip(PREMISES[code], CHOICES[code], ASKED, strict=True)
    return [
        {
            "premise": premise,
            "choice1": first,
            "choice2": second,
            "question": question,
            "label": label,
            "idx": idx,
            "changed": False,
        }
        for idx, (premise, (first, second), (question, label)) in enumerate(parts)
    ]


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(lines, encoding="utf-8")


@pytest.fixture
def xcopa(tmp_path):
    folder = tmp_path / "xcopa"
    for code in PREMISES:
        rows = xcopa_rows(code)
        write_rows(folder / code / f"test.{code}.jsonl", rows if code != "tr" else rows[::-1])
        write_rows(folder / code / f"val.{code}.jsonl", rows[:1])
    return folder


def test_mgsm_as_records(mgsm):
    records = load_records(mgsm)
    assert records == [
        SftRecord(f"mgsm-{n}.{code}", code, f"{question}\n", answer)
        for code in ("en", "sw")
        for n, (question, answer) in enumerate(QUESTIONS[code], 1)
    ]
    assert [record.item for record in records] == ["mgsm-1", "mgsm-2"] * 2
    assert load_records(f"{mgsm}:test") == records


def test_mgsm_as_parallel_text(mgsm):
    corpus = load_corpus(mgsm)
    assert corpus.ids == ("mgsm-1", "mgsm-2")
    assert corpus.texts == {
        code: tuple(question for question, _ in rows) for code, rows in QUESTIONS.items()
    }
    assert load_corpus(mgsm, ["sw"]).languages == ("sw",)
    with pytest.raises(ShiftlensError, match="no language 'fr'; languages there: en, sw"):
        load_corpus(mgsm, ["fr"])


def test_xcopa_as_records(xcopa):
    records = {record.id: record for record in load_records(f"{xcopa}:test")}
    texts = {
        name: (record.prompt, record.completion, record.choices) for name, record in records.items()
    }
    assert texts == {
        "xcopa-test-0.en": ("The cup fell so", " it broke.", (" it broke.", " it grew.")),
        "xcopa-test-1.en": (
            "I was cold because",
            " the sun shone.",
            (" I left the door open.", " the sun shone."),
        ),
        "xcopa-test-0.tr": (
            "Bardak düştü, bu yüzden",
            " ıslandı.",
            (" ıslandı.", " iyice büyüdü."),
        ),
        "xcopa-test-1.tr": ("Üşüdüm, çünkü", " güneş vardı.", (" kapı açıktı.", " güneş vardı.")),
        "xcopa-test-0.zh": ("杯子掉了，所以", "它碎了。", ("它碎了。", "它长大了。")),
        "xcopa-test-1.zh": ("我很冷，因为", "有太阳。", ("门开着。", "有太阳。")),
    }
    assert {record.item for record in records.values()} == {"xcopa-test-0", "xcopa-test-1"}
    assert [record.id for record in load_records(f"{xcopa}:val")] == [
        f"xcopa-val-0.{code}" for code in ("en", "tr", "zh")
    ]


def test_every_language_of_xcopa_has_two_connectives_of_its_own():
    assert " ".join(sorted(CONNECTIVES)) == "en et ht id it qu sw ta th tr vi zh"
    words = [word.strip(" ,，") for pair in CONNECTIVES.values() for word in pair]
    assert len(set(words)) == len(words) == 24


def test_xcopa_as_parallel_text_is_aligned_by_idx(xcopa):
    corpus = load_corpus(f"{xcopa}:test", ["en", "tr"])
    assert corpus.ids == ("xcopa-test-0", "xcopa-test-1")
    assert corpus.texts == {code: tuple(PREMISES[code]) for code in ("en", "tr")}


def test_a_split_is_named_where_there_are_two(xcopa):
    for load in (load_records, load_corpus):
        for source in (xcopa, f"{xcopa}:train"):
            with pytest.raises(ShiftlensError, match="which split") as caught:
                load(source)
            assert str(caught.value).startswith(f"{source}: ")
            assert str(caught.value).endswith(f"give {xcopa}:test or {xcopa}:val")


BAD_MGSM = {
    "no answer": ("One?\n", "1 tab-separated cells; expected 2 (text, answer)"),
    "three cells": ("One?\t1\t2\n", "3 tab-separated cells"),
    "a word": ("One?\tone\n", "the answer 'one' is no whole number"),
    "a fraction": ("One?\t1.5\n", "the answer '1.5' is no whole number"),
    "an empty line": ("\n", "empty line"),
}


@pytest.mark.parametrize(("line", "problem"), BAD_MGSM.values(), ids=BAD_MGSM)
@pytest.mark.parametrize("load", [load_records, load_corpus])
def test_a_wrong_line_of_mgsm_is_named(mgsm, load, line, problem):
    file = mgsm / "mgsm_sw.tsv"
    file.write_text("Moja?\t1\n" + line, encoding="utf-8")
    with pytest.raises(ShiftlensError) as caught:
        load(mgsm)
    assert str(caught.value).startswith(f"{file}, line 2: {problem}")
    assert "\n" not in str(caught.value)


def test_questions_without_text_and_files_of_unequal_length(mgsm):
    file = mgsm / "mgsm_sw.tsv"
    file.write_text("\t5\nMakumi?\t20\n", encoding="utf-8")
    with pytest.raises(ShiftlensError, match="line 1: 'prompt' is empty"):
        load_records(mgsm)
    with pytest.raises(ShiftlensError, match="line 1: the sw sentence is missing or empty"):
        load_corpus(mgsm)
    file.write_text("Moja?\t1\n", encoding="utf-8")
    with pytest.raises(ShiftlensError, match=r"has 2 lines but .* has 1; align them"):
        load_corpus(mgsm, keep_intersection=True)


BAD_XCOPA = {
    "no label": ({"label": None}, "'label' is None; give 0 or 1"),
    "a third choice": ({"label": 2}, "'label' is 2; give 0 or 1"),
    "another question": ({"question": "why"}, "'question' is 'why'; give cause or effect"),
    "an empty premise": ({"premise": " "}, "'premise' is ' '; give a text"),
    "a choice that is a number": ({"choice2": 4}, "'choice2' is 4; give a text"),
    "the same id": ({"idx": 0}, "id 'xcopa-val-0"),
}


@pytest.mark.parametrize(("change", "problem"), BAD_XCOPA.values(), ids=BAD_XCOPA)
@pytest.mark.parametrize("load", [load_records, load_corpus])
def test_a_wrong_line_of_xcopa_is_named(xcopa, load, change, problem):
    file = xcopa / "tr" / "val.tr.jsonl"
    first, second = xcopa_rows("tr")
    write_rows(file, [first, second | change])
    with pytest.raises(ShiftlensError) as caught:
        load(f"{xcopa}:val")
    assert str(caught.value).startswith(f"{file}, line 2: {problem}")
    write_rows(file, [first, {key: value for key, value in second.items() if key != "premise"}])
    with pytest.raises(ShiftlensError, match="line 2: the key 'premise' is missing"):
        load(f"{xcopa}:val")


def test_a_language_without_connectives_is_parallel_text_but_no_records(xcopa):
    write_rows(xcopa / "de" / "val.de.jsonl", xcopa_rows("en")[:1])
    assert load_corpus(f"{xcopa}:val", ["de", "en"]).languages == ("de", "en")
    with pytest.raises(ShiftlensError, match="no word for 'because' and 'so' in 'de'"):
        load_records(f"{xcopa}:val")


def test_what_is_no_benchmark_is_said_so(tmp_path):
    for source in (tmp_path, tmp_path / "none.jsonl", f"{tmp_path}:test"):
        with pytest.raises(ShiftlensError, match="no such file, nor a folder with"):
            load_records(source)
    with pytest.raises(ShiftlensError, match="no file such as"):
        load_corpus(tmp_path)


def test_numbers_are_matched_in_a_whole_answer_and_texts_are_not(llama, monkeypatch):
    records = [
        SftRecord("1.en", "en", "a", "1,200"),
        SftRecord("2.en", "en", "b", "7"),
        SftRecord("3.en", "en", "c", "seven"),
        SftRecord("1.sw", "sw", "a", "moja"),
    ]
    answers = ["2 x 600 = ১২০০.", "7 then 8", "7", "1"]
    lengths = []

    def said(*_, max_new_tokens):
        lengths.append(max_new_tokens)
        return answers

    monkeypatch.setattr("shiftlens.evaluate.generate_answers", said)
    table = evaluate(llama, records, max_new_tokens=50).set_index("language")
    assert table.loc["en", "number_match"] == 1 / 2
    assert pd.isna(table.loc["sw", "number_match"])
    answers = answers[2:]
    assert "number_match" not in evaluate(llama, records[2:])
    assert lengths == [50, None]


def test_eval_takes_a_benchmark_some_of_its_languages_and_longer_answers(
    mgsm, xcopa, tmp_path, capsys
):
    training(tmp_path / "run")
    out = tmp_path / "table.csv"
    command = ["eval", str(tmp_path / "run"), "--out", str(out), "--records"]
    assert main([*command, str(mgsm), "--language", "sw", "--max-new-tokens", "12"]) == 0
    model, shift = load_trained(tmp_path / "run" / "model", device="cpu")
    own = [record for record in load_records(mgsm) if record.language == "sw"]
    pd.testing.assert_frame_equal(pd.read_csv(out), evaluate(model, own, shift, max_new_tokens=12))
    assert "number_match" in pd.read_csv(out)
    assert main([*command, f"{xcopa}:test", "--language", "en"]) == 0
    assert "choice_accuracy" in pd.read_csv(out)
    capsys.readouterr()
    assert main([*command, str(mgsm), "--language", "sw,tr"]) == 2
    assert "no records in 'tr'; languages there: en, sw" in capsys.readouterr().err
    assert main([*command, str(mgsm), "--max-new-tokens", "0"]) == 2
    assert "max_new_tokens is 0; give at least 1" in capsys.readouterr().err


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "mgsm").is_dir(), reason="the parallel text is absent")
def test_the_whole_of_mgsm(tmp_path):
    golds = (SHARED / "mgsm" / "answers.txt").read_text(encoding="utf-8").split()
    for file in (SHARED / "mgsm").glob("??.txt"):
        questions = file.read_text(encoding="utf-8").splitlines()
        lines = [f"{question}\t{gold}\n" for question, gold in zip(questions, golds, strict=True)]
        (tmp_path / f"mgsm_{file.stem}.tsv").write_text("".join(lines), encoding="utf-8")
    records = load_records(tmp_path)
    assert len(records) == 11 * 250
    assert len({record.item for record in records}) == 250
    assert load_corpus(tmp_path).texts == load_corpus(SHARED / "mgsm").texts


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "mgsm").is_dir(), reason="the parallel text is absent")
def test_the_last_number_of_every_chain_of_thought_of_mgsm_is_its_answer():
    rows = (SHARED / "mgsm" / "exemplars.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(row) for row in rows]
    assert [last_number(row["reasoning"]) for row in rows] == [int(row["answer"]) for row in rows]


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "xcopa").is_dir(), reason="the parallel text is absent")
@pytest.mark.parametrize(("split", "count"), [("val", 100), ("test", 500)])
def test_the_whole_of_xcopa(tmp_path, split, count):
    for file in (SHARED / "xcopa" / split).glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        write_rows(
            tmp_path / file.stem / f"{split}.{file.stem}.jsonl",
            [
                {
                    "premise": row["prompt"],
                    "choice1": row["choices"][0],
                    "choice2": row["choices"][1],
                    "question": row["question"],
                    "label": row["answer"],
                    "idx": int(row["id"].rpartition("-")[2]),
                    "changed": False,
                }
                for row in rows
            ],
        )
    records = load_records(tmp_path)
    assert len(records) == 12 * count
    assert len({record.item for record in records}) == count
    corpus = load_corpus(tmp_path)
    assert (len(corpus), len(corpus.languages)) == (count, 12)
