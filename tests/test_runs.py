import json
import random

import pandas as pd
import pytest
import yaml
from tiny import tiny_model, tiny_tokenizer

from shiftlens import collect
from shiftlens.cli import main
from shiftlens.config import SweepConfig
from shiftlens.errors import ShiftlensError
from shiftlens.plots import layer_distance
from shiftlens.runs import run_sweep

PROMISED = {
    "activations",
    "area.json",
    "config.yaml",
    "layer_distance.html",
    "layer_distance.png",
    "layer_distance.svg",
    "sentences.parquet",
    "sweep.csv",
    "sweep.parquet",
    "tokens.csv",
}
LETTERS = {"en": "abcdefgh", "es": "ijklmnop", "fi": "qrstuvwx"}


def sentences(language, n=24, seed=0):
    rng = random.Random(f"{language} {seed}")
    return [
        " ".join("".join(rng.choices(LETTERS[language], k=4)) for _ in range(rng.randint(2, 6)))
        for _ in range(n)
    ]


def write_corpus(folder, languages=tuple(LETTERS), seed=0):
    folder.mkdir()
    for language in languages:
        lines = sentences(language, seed=seed)
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def save_model(folder, **overrides):
    tiny_model("llama", **overrides).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a model of four blocks and a corpus of three languages."""
    folder = tmp_path_factory.mktemp("home")
    save_model(folder / "model", num_hidden_layers=4)
    write_corpus(folder / "corpus")
    return folder


@pytest.fixture(scope="module")
def finished(home):
    """A finished run, the lines it said, and the files it left; for reading only."""
    said = []
    run = run_sweep(settings(home, home / "finished"), said.append)
    return run, "\n".join(said), contents(run.out)


def settings(home, out, **changes):
    given = {"model": home / "model", "corpus": home / "corpus", "out": out, "device": "cpu"}
    given = {key: str(value) for key, value in given.items()}
    return SweepConfig(**{**given, **changes})


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def silent(text):
    pass


def test_a_run_leaves_every_file_promised_and_no_leftover(finished):
    run, _, files = finished
    names = {path.name for path in run.out.iterdir()}
    assert names - {"activations.lock", "run.lock"} == PROMISED
    assert not [name for name in files if name.endswith(".tmp")]
    assert all(files[name] for name in files if not name.endswith(".lock"))
    assert run.store.verify() == []


def test_the_csv_the_parquet_and_the_result_are_one_table(finished):
    run, _, _ = finished
    csv = pd.read_csv(run.out / "sweep.csv", converters={"value": float, "alpha": float})
    pd.testing.assert_frame_equal(csv, run.sweep.table, check_dtype=False, check_exact=True)
    parquet = pd.read_parquet(run.out / "sweep.parquet")
    pd.testing.assert_frame_equal(parquet, run.sweep.table, check_exact=True)
    assert set(csv["layer"]) == {0, 1, 2, 3, 4}
    assert set(csv["language"]) == {"en", "es", "fi"}
    assert set(csv["n"]) == {12}
    assert csv["value"].nunique() > len(csv) / 2


def test_the_area_file_holds_the_area_and_the_curves(finished):
    run, _, files = finished
    facts = json.loads(files["area.json"])
    area = run.sweep.area
    assert (facts["area"]["start"], facts["area"]["stop"]) == (area.start, area.stop)
    assert 1 <= area.start < area.stop <= 3
    assert facts["metric"] == "affine_invariant"
    assert list(facts["areas"]) == list(facts["mean_distance_by_layer"])
    for metric, curve in facts["mean_distance_by_layer"].items():
        assert {int(layer): value for layer, value in curve.items()} == run.sweep.mean_curve(metric)


def test_the_figures_are_of_their_kinds_and_name_the_languages(finished):
    _, _, files = finished
    assert files["layer_distance.png"].startswith(b"\x89PNG")
    assert b"<svg" in files["layer_distance.svg"]
    page = files["layer_distance.html"].decode()
    assert "Plotly" in page
    assert "Spanish" in page
    assert "Finnish" in page


def test_the_sentences_and_the_token_report_are_kept(finished):
    run, _, _ = finished
    kept = pd.read_parquet(run.out / "sentences.parquet")
    assert kept["sentence"].tolist() == [str(n) for n in range(1, 25)]
    assert kept["fi"].tolist() == sentences("fi")
    tokens = pd.read_csv(run.out / "tokens.csv").set_index("language")
    assert list(tokens.index) == ["en", "es", "fi"]
    lengths = [len(text) + 1 for text in sentences("es")]
    assert tokens.loc["es", "tokens_per_sentence"] == pytest.approx(sum(lengths) / 24, abs=1e-3)
    assert tokens.loc["es", "truncated"] == 0
    assert set(tokens["unknown_rate"]) == {0.0}


def test_a_run_says_its_plan_its_disk_space_its_results_and_where_they_lie(finished):
    run, said, _ = finished
    assert "LlamaForCausalLM, layers 0..4, d_model 32" in said
    assert "24 sentences in each of en, es, fi; dominant en" in said
    assert f"{3 * 24 * 5 * 32 * 4 / 1e6:.1f} MB of activations" in said
    assert f"layers {run.sweep.area.start}-{run.sweep.area.stop}" in said
    for name in PROMISED:
        assert str(run.out / name) in said


def test_config_yaml_repeats_the_run_in_another_folder(home, finished, tmp_path):
    run, _, files = finished
    again = tmp_path / "again"
    config = run.out / "config.yaml"
    assert main(["sweep", "--config", str(config), "--out", str(again)]) == 0
    repeated = contents(again)
    for name in ("sweep.csv", "area.json", "tokens.csv", "layer_distance.svg"):
        assert repeated[name] == files[name], name
    for name in files:
        if name.endswith(".safetensors"):
            assert repeated[name] == files[name], name
    first, second = (yaml.safe_load(text["config.yaml"]) for text in (files, repeated))
    assert first == vars(settings(home, run.out))
    assert second == {**first, "out": str(again)}
    assert files["config.yaml"].startswith(b"# python 3.")
    assert b"torch 2." in files["config.yaml"].splitlines()[0]


def test_what_follows_the_settings_file_wins(finished, tmp_path):
    run, _, _ = finished
    config = f"--config={run.out / 'config.yaml'}"
    out = tmp_path / "out"
    changes = ["--shrinkage", "oas", "--metric=affine_invariant", "--dominant", "fi"]
    assert main(["sweep", config, "--out", str(out), *changes]) == 0
    table = pd.read_csv(out / "sweep.csv")
    assert set(table["shrinkage"]) == {"oas"}
    assert set(table["metric"]) == {"affine_invariant"}
    assert table["language"].tolist()[:5] == ["fi"] * 5


def test_the_same_command_again_recomputes_no_shard(home, tmp_path, monkeypatch):
    config = settings(home, tmp_path / "run")
    before = contents(run_sweep(config, silent).out)
    shards = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.safetensors")}
    assert len(shards) == 3
    monkeypatch.setattr(collect, "_shard_states", lambda *_: pytest.fail("a shard was computed"))
    run_sweep(config, silent)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    assert contents(tmp_path / "run") == before


def test_other_sweep_settings_in_the_same_folder_use_the_same_states(home, tmp_path, monkeypatch):
    run = run_sweep(settings(home, tmp_path / "run"), silent)
    monkeypatch.setattr(collect, "_shard_states", lambda *_: pytest.fail("a shard was computed"))
    other = run_sweep(settings(home, tmp_path / "run", shrinkage="0.5"), silent)
    assert set(other.sweep.table["shrinkage"]) == {"0.5"}
    changed = other.sweep.table["metric"] == "affine_invariant"
    assert (other.sweep.table["value"] != run.sweep.table["value"])[changed].all()
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["shrinkage"] == "0.5"


@pytest.mark.parametrize("change", ["corpus", "model", "pooling"])
def test_other_states_in_the_same_folder_are_refused_and_the_results_stay(home, tmp_path, change):
    run = run_sweep(settings(home, tmp_path / "run"), silent)
    before = contents(run.out)
    changes = {
        "corpus": lambda: {"corpus": str(write_corpus(tmp_path / "other", seed=1))},
        "model": lambda: {"model": str(save_model(tmp_path / "other", seed=1))},
        "pooling": lambda: {"special_tokens": True},
    }[change]()
    with pytest.raises(ShiftlensError, match=f"holds other states, .*{change}"):
        run_sweep(settings(home, run.out, **changes), silent)
    assert contents(run.out) == before


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("es,en", "holds states in en,es, and es,en is asked for, the same in another order; give"),
        ("en,fi", r"holds states in en,es, and en,fi is asked for; give --languages en,es to go"),
    ],
)
def test_other_languages_in_the_same_folder_are_told(home, tmp_path, asked, words):
    run = run_sweep(settings(home, tmp_path / "run", languages="en,es"), silent)
    before = contents(run.out)
    with pytest.raises(ShiftlensError, match=f"{run.out} {words}"):
        run_sweep(settings(home, run.out, languages=asked), silent)
    assert contents(run.out) == before


def test_tokens_of_other_languages_go_beside_the_sentences(home, tmp_path):
    out = tmp_path / "run"
    run_sweep(settings(home, out, languages="en,es"), silent)
    run = run_sweep(settings(home, out, languages="en,fi", states="tokens"), silent)
    assert set(run.sweep.table["language"]) == {"en", "fi"}


def test_a_sweep_that_fails_leaves_the_earlier_results_as_they_were(home, tmp_path):
    run = run_sweep(settings(home, tmp_path / "run"), silent)
    before = contents(run.out)
    with pytest.raises(ShiftlensError, match="covariance is singular"):
        run_sweep(settings(home, run.out, shrinkage="0"), silent)
    assert contents(run.out) == before


def test_a_model_of_two_blocks_is_swept_and_drawn_without_area(home, tmp_path, monkeypatch):
    model = save_model(tmp_path / "shallow", num_hidden_layers=2)
    drawn = []
    monkeypatch.setattr(
        "shiftlens.drawing.files.layer_distance",
        lambda table, area, *rest: drawn.append(area) or layer_distance(table, area, *rest),
    )
    said = []
    run = run_sweep(settings(home, tmp_path / "run", model=str(model)), said.append)
    assert run.sweep.area is None
    assert drawn == [None]
    facts = json.loads((run.out / "area.json").read_text())
    assert facts["area"] is None
    assert facts["areas"] == {}
    assert set(facts["mean_distance_by_layer"]["shifcon"]) == {"0", "1", "2"}
    assert {path.name for path in run.out.iterdir()} >= PROMISED
    assert "area     none: the model has fewer than 3 blocks" in "\n".join(said)


def test_python_gives_the_same_in_under_ten_lines(home, finished, tmp_path):
    from shiftlens import collect_states, load_corpus, load_model, sweep_layers

    corpus = load_corpus(home / "corpus", ["en", "es", "fi"])
    model = load_model(home / "model", device="cpu")
    store = collect_states(model, corpus, tmp_path / "activations")
    result = sweep_layers(store, dominant="en")
    run, _, _ = finished
    assert result.area == run.sweep.area
    pd.testing.assert_frame_equal(result.table, run.sweep.table, check_exact=True)


def test_the_first_sentences_and_a_choice_of_languages_are_swept(home, tmp_path):
    config = settings(home, tmp_path / "run", languages="fi,en", sentences=10, dominant="EN")
    run = run_sweep(config, silent)
    assert run.store.languages == ("fi", "en")
    assert set(run.sweep.table["n"]) == {5}
    assert run.sweep.dominant == "en"


def test_paths_may_be_path_objects(home, tmp_path):
    config = SweepConfig(home / "model", home / "corpus", tmp_path / "run", sentences=8)
    run = run_sweep(config, silent)
    assert yaml.safe_load((run.out / "config.yaml").read_text())["out"] == str(tmp_path / "run")


def test_dropped_sentences_are_told(home, tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    lines = sentences("es")
    (corpus / "es.txt").write_text("\n".join(["", *lines[1:]]) + "\n")
    said = []
    config = settings(home, tmp_path / "run", corpus=str(corpus), keep_intersection=True)
    run = run_sweep(config, said.append)
    assert run.store.n_sentences == 23
    assert "sentences that some language lacks (en: 1, fi: 1)" in "\n".join(said)


def test_a_disk_too_small_is_refused_before_anything_is_collected(home, tmp_path, monkeypatch):
    full = type("usage", (), {"free": 1000})()
    monkeypatch.setattr("shiftlens.sweep_forecast.shutil.disk_usage", lambda _: full)
    with pytest.raises(ShiftlensError, match=r"take 0\.0 MB and 0\.0 MB are free"):
        run_sweep(settings(home, tmp_path / "run"), silent)
    assert not (tmp_path / "run").exists()
