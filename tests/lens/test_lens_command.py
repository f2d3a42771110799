"""``shiftlens lens`` from the command line: its folder, its resumption, and what it refuses."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml

import shiftlens as sl
from shiftlens import kept_tables, lens_run
from shiftlens.cli import main
from shiftlens.corpora import load_corpus
from shiftlens.errors import ShiftlensError
from shiftlens.language_vectors import LanguageVectors
from shiftlens.lens import TokenLanguages, answer_lens, language_lens
from shiftlens.lens_config import LensConfig
from shiftlens.sft import load_records
from shiftlens.shift import Shift
from shiftlens.trained import save_model

CODES = ("en", "de", "fi")
GIVEN = ["lens", "--model", "demo", "--corpus", "demo", "--languages", "en,de,fi"]
GIVEN += ["--sentences", "12", "--device", "cpu", "--positions", "last"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The first four items of the demo's test, in three languages."""
    kept = [r for r in load_records("demo:test") if r.language in CODES]
    items = list(dict.fromkeys(r.item for r in kept))[:4]
    file = tmp_path_factory.mktemp("records") / "few.jsonl"
    rows = [vars(r) | {"messages": None} for r in kept if r.item in items]
    for row in rows:
        del row["messages"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def done(tmp_path_factory, records):
    out = tmp_path_factory.mktemp("lens") / "run"
    assert main([*GIVEN, "--records", str(records), "--out", str(out)]) == 0
    return out


def test_the_tables_are_those_of_the_functions(done, records):
    model = sl.load_model("demo", device="cpu")
    corpus = load_corpus("demo", CODES)
    tokens = TokenLanguages.of_corpus(model, corpus)
    lens = language_lens(model, corpus.head(12), tokens, positions="last", progress=False)
    answers = answer_lens(model, load_records(records), progress=False)
    found = {name: pd.read_parquet(done / f"{name}.parquet") for name in ("lens", "pivots")}
    pd.testing.assert_frame_equal(found["lens"], lens.summary())
    pd.testing.assert_frame_equal(found["pivots"], lens.pivots())
    pd.testing.assert_frame_equal(pd.read_csv(done / "lens.csv"), found["lens"])
    assert pd.read_csv(done / "answers.csv")["n"].max() == 4
    own = pd.concat(pd.read_parquet(done / f"read/answers-{code}.parquet") for code in CODES)
    keys = ["language", "item", "layer", "answer"]
    left, right = (each.sort_values(keys).reset_index(drop=True) for each in (own, answers))
    pd.testing.assert_frame_equal(left, right)
    settings = yaml.safe_load((done / "config.yaml").read_text())
    assert settings["positions"] == "last" and settings["sentences"] == 12
    for name in ("masses", "entropy", "answer_rank", "answer_probability"):
        assert (done / f"{name}.png").stat().st_size > 5000 and (done / f"{name}.svg").exists()


def test_it_says_what_it_will_do_and_which_language_is_ahead(tmp_path, capsys):
    assert main([*GIVEN, "--out", str(tmp_path / "x")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "reads    12 sentences of demo in each of en, de, fi: 36 texts"
    assert lines[1].startswith("memory   at most 0.0") and "GiB beside Python itself" in lines[1]
    assert any(line.startswith("tokens   en ") for line in lines)
    pivots = pd.read_parquet(tmp_path / "x/pivots.parquet")
    last = next(line for line in lines if line.startswith("6 "))
    for row in pivots[pivots["layer"] == 6].to_dict("records"):
        assert f"{row['pivot']} {100 * row['mass']:.0f}%" in last
    brackets = sum(line.count("(") for line in lines if line[:1].isdigit())
    assert brackets == (pivots["lead_low"] <= 0).sum() > 0


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock" and file.name != "config.yaml"
    }


def test_a_lens_that_was_killed_ends_byte_for_byte_as_an_undisturbed_one(
    done, records, tmp_path, monkeypatch
):
    config = LensConfig("demo", "demo", str(tmp_path / "x"), "en,de,fi", 12, "last", str(records))
    config.device = "cpu"
    write, count = kept_tables.write_atomic, []

    def killed(path, content):
        if path.name == "texts-fi.parquet" and not count:
            count.append(path)
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(kept_tables, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        lens_run.run_lens(config, lambda _: None)
    assert sorted(p.name for p in (tmp_path / "x/read").iterdir()) == [
        "texts-de.parquet",
        "texts-en.parquet",
    ]
    read = []
    tables = lens_run.language_tables

    def watched(model, corpus, *rest, **options):
        read.extend(corpus.languages)
        return tables(model, corpus, *rest, **options)

    monkeypatch.setattr(lens_run, "language_tables", watched)
    lens_run.run_lens(config, lambda _: None)
    assert read == ["fi"]
    assert contents(tmp_path / "x") == contents(done)


@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_a_damaged_file_is_read_again_and_no_other(done, records, tmp_path, monkeypatch, damage):
    out = tmp_path / "x"
    shutil.copytree(done, out)
    file = out / "read" / "texts-en.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "gone":
        file.unlink()
    read = []
    tables = lens_run.language_tables

    def watched(model, corpus, *rest, **options):
        read.extend(corpus.languages)
        return tables(model, corpus, *rest, **options)

    monkeypatch.setattr(lens_run, "language_tables", watched)
    assert main([*GIVEN, "--records", str(records), "--out", str(out)]) == 0
    assert read == ["en"]
    assert contents(out) == contents(done)


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "cannot be read"), ("[" * 5000, "cannot be read"), ("{}", "differs in model")],
)
def test_a_folder_that_no_longer_says_what_it_was_begun_with_is_left(
    done, tmp_path, capsys, content, words
):
    out = tmp_path / "x"
    shutil.copytree(done, out)
    (out / "lens_inputs.json").write_text(content)
    before = contents(out)
    assert main([*GIVEN, "--out", str(out)]) == 2
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1
    assert contents(out) == before


def test_records_can_be_read_later_and_other_settings_need_another_folder(
    done, records, tmp_path, capsys
):
    out = tmp_path / "x"
    assert main([*GIVEN, "--out", str(out)]) == 0
    assert main([*GIVEN, "--records", str(records), "--out", str(out)]) == 0
    assert contents(out) == contents(done)
    capsys.readouterr()
    assert main([*GIVEN, "--sentences", "5", "--out", str(out)]) == 2
    assert (
        f"{out} holds a run with sentences 12, not 5; give --sentences 12 to go on"
        in capsys.readouterr().err
    )
    assert main([*GIVEN, "--max-length", "9", "--out", str(out)]) == 2
    assert "with max_length 512, not 9" in capsys.readouterr().err
    (out / "config.yaml").unlink()
    assert main([*GIVEN, "--sentences", "5", "--out", str(out)]) == 2
    assert f"{out} holds a run of lens that differs in corpus; give" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training, its model the demo's, its shift drawn at random."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    model = sl.load_model("demo", device="cpu")
    drawn = {code: torch.randn(7, 64) for code in CODES}
    save_model(model, Shift(LanguageVectors(drawn, 4, sl.Pooling()), (2, 5)), folder / "model")
    return folder


def test_a_training_is_read_with_its_shift_on_unless_asked_otherwise(trained, tmp_path, capsys):
    asked = [*GIVEN, "--model", str(trained)]
    assert main([*asked, "--out", str(tmp_path / "on")]) == 0
    assert "shift    on, layers 2-5" in capsys.readouterr().out
    assert main([*asked, "--no-shift", "--out", str(tmp_path / "off")]) == 0
    assert main([*GIVEN, "--out", str(tmp_path / "plain")]) == 0
    on, off, plain = (
        pd.read_parquet(tmp_path / name / "lens.parquet") for name in ("on", "off", "plain")
    )
    pd.testing.assert_frame_equal(off, plain)
    moved = ~np.isclose(on["mean"], off["mean"], atol=1e-6)
    touched = (on["language"] != "en") & (on["layer"] >= 2)
    assert moved[touched].mean() > 0.5 and not moved[~touched].any()
    capsys.readouterr()
    assert main([*GIVEN, "--model", str(trained), "--languages", "en,ja", "--out", "x"]) == 2
    assert "'ja' has no vectors" in capsys.readouterr().err


def test_a_config_file_repeats_a_lens(done, tmp_path):
    asked = ["lens", "--config", str(done / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(asked) == 0
    assert contents(tmp_path / "again") == contents(done)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--corpus", "nowhere"], "nowhere"),
        (["--model", "./nowhere"], "model directory './nowhere' does not exist"),
        (["--positions", "first"], "positions are 'first'; choose all or last"),
        (["--languages", "en"], "'en' alone; give at least two languages"),
        (["--languages", "en,sv"], "no language 'sv'"),
        (["--sentences", "0"], "cannot keep 0 sentences"),
        (["--batch-tokens", "0"], "batch_tokens is 0"),
        (["--dtype", "int8"], "unknown dtype 'int8'"),
        (["--threshold", "0.4"], "threshold is 0.4"),
        (["--records", "none.jsonl"], "none.jsonl"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    assert main([*GIVEN, "--out", "out", *more]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.count("\n") == 0 and error.startswith("shiftlens: ")
    assert not (tmp_path / "out").exists()


def test_an_encoder_is_refused_before_its_weights_are_read(tmp_path, capsys):
    folder = tmp_path / "bert"
    tiny.tiny_model("bert").save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    assert main([*GIVEN, "--model", str(folder), "--out", str(tmp_path / "x")]) == 2
    assert "is an encoder: it reads a text from both sides" in capsys.readouterr().err


def test_another_head_on_the_same_base_is_another_model(tmp_path):
    model = sl.load_model(tiny.tiny_model("llama"), tiny.tiny_tokenizer())
    save_model(model, None, tmp_path / "m")
    texts = {"en": ["aab"], "fi": ["yyä"]}
    (tmp_path / "c").mkdir()
    for code, own in texts.items():
        (tmp_path / f"c/{code}.txt").write_text("\n".join(own) + "\n", encoding="utf-8")
    config = LensConfig(str(tmp_path / "m"), str(tmp_path / "c"), str(tmp_path / "x"), device="cpu")
    lens_run.run_lens(config, lambda _: None)
    model.hf.lm_head.weight.data += 1
    shutil.rmtree(tmp_path / "m")
    save_model(model, None, tmp_path / "m")
    with pytest.raises(ShiftlensError, match="holds a run of lens that differs in unembedding"):
        lens_run.run_lens(config, lambda _: None)
