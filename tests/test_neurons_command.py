"""``shiftlens neurons``, as typed."""

import re

import pandas as pd
import pytest
import tiny
import yaml

from shiftlens.cli import main

QUICK = ["--languages", "en,ru,tr", "--sentences", "80", "--share", "0.05", "--draws", "2"]
FILES = {
    *(f"{name}.{end}" for name in ("neurons", "effects", "claims") for end in ("csv", "parquet")),
    *(f"{name}.{end}" for name in ("neurons", "effects") for end in ("png", "svg")),
    *("config.yaml", "run.lock", "read", "neurons_inputs.json"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("neurons") / "run"
    assert main(["neurons", "--model", "demo", *QUICK, "--out", str(out)]) == 0
    return out


def test_the_folder_holds_tables_figures_and_the_settings_that_repeat_it(done, tmp_path, capsys):
    assert {path.name for path in done.iterdir()} == FILES
    again = ["--config", str(done / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(["neurons", *again]) == 0
    for name in FILES - {"config.yaml", "read"}:
        assert (tmp_path / "again" / name).read_bytes() == (done / name).read_bytes(), name
    said = capsys.readouterr().out
    assert "3 languages from 40 sentences of each, then 7 passes over 40 held-out" in said
    entropies = pd.read_csv(done / "neurons.csv")["entropy"]
    assert f"entropies are {entropies.min():.2f} to {entropies.max():.2f} nats; one as" in said
    assert "in all 3 languages has 1.10" in said
    claims = pd.read_csv(done / "claims.csv")
    own = claims[claims["more_than"] == "itself"]
    holding = own["language"][own["holds"]].tolist()
    assert f"its own loss rises: {len(holding)} of {len(own)}  {' '.join(holding)}".strip() in said
    assert max(len(line) for line in said.splitlines() if "±" in line) < 100
    for row in own.itertuples():
        cell = f"{row.difference:+.4f} ±{row.high - row.difference:.4f}{'*' if row.holds else ' '}"
        assert re.search(rf"(?m)^{row.language} \({row.neurons}\) +{re.escape(cell)}", said)
    pd.testing.assert_frame_equal(
        pd.read_parquet(done / "effects.parquet"), pd.read_csv(done / "effects.csv")
    )
    assert yaml.safe_load((done / "config.yaml").read_text())["filter_rate"] == 0.95


def test_of_an_encoder_the_neurons_are_found_and_nothing_is_measured(tmp_path, capsys):
    hf, tokenizer = tiny.tiny_model("bert"), tiny.tiny_tokenizer(eos=True)
    for part in (hf, tokenizer):
        part.save_pretrained(tmp_path / "bert")
    given = ["--model", str(tmp_path / "bert"), "--corpus", "demo", *QUICK, "--device", "cpu"]
    assert main(["neurons", *given, "--out", str(tmp_path / "out")]) == 0
    assert "no perplexity is measured" in capsys.readouterr().out
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {name for name in FILES if not name.startswith(("effects", "claims"))}
    assert main(["neurons", *given, "--held-out", "demo:test", "--out", str(tmp_path / "o")]) == 2
    assert "leave out --held-out" in capsys.readouterr().err


def test_where_no_language_has_neurons_it_says_so(tmp_path, capsys):
    rates = ["--bar-rate", "1", "--languages", "en,ru", "--sentences", "20"]
    out = ["--draws", "2", "--out", str(tmp_path / "o")]
    assert main(["neurons", "--model", "demo", *rates, *out]) == 0
    assert "no language has neurons of its own: keep a larger share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"--model": "./nowhere", "--corpus": "demo"}, "'./nowhere' does not exist"),
        ({"--model": "."}, "holds no config.json"),
        ({"--model": "nobody/nothing"}, "give --corpus"),
        ({"--held-out": "demo"}, "of the held-out texts in en are in the corpus too"),
        ({"--held-out": "demo:exam"}, "exam"),
        ({"--languages": "en"}, "two languages or more"),
        ({"--languages": "en,sw"}, "no language 'sw'"),
        ({"--share": "0"}, "share of neurons is 0"),
        ({"--factor": "nan"}, "the factor is nan"),
        ({"--draws": "1"}, "ask for 2 or more"),
        ({"--draws": "0"}, "ask for 2 or more"),
        ({"--share": "2"}, "share of neurons is 2"),
        (
            {"--share": "0.0003"},
            "0.0003 of the 1,152 neurons of demo is none; give 0.00087",
        ),
        ({"--seed": "-1"}, "seed must be 0 or more, not -1"),
        ({"--batch-tokens": "0"}, "batch_tokens is 0; give at least 1"),
        ({"--max-length": "0"}, "max_length is 0; give at least 1"),
        ({"--sentences": "3"}, "no two halves"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, options, reason):
    given = {"--model": "demo", "--out": str(tmp_path / "o")} | options
    assert main(["neurons", *(word for pair in given.items() for word in pair)]) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert not (tmp_path / "o").exists()
