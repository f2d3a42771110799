"""Damaged files are named, mended by the same command, and never give a wrong number."""

import json
import random
import shutil

import numpy as np
import pytest
from same_files import contents, differing

from shiftlens.cli import main
from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.export import export_run
from shiftlens.files import RUN_LOCK, running, writing
from shiftlens.manifests import SHARD
from shiftlens.model_tests import run_tests
from shiftlens.shift import Shift
from shiftlens.store import ActivationStore
from shiftlens.token_moments import collect_token_moments
from shiftlens.training.checkpoints import last_checkpoint

TEXTS = {"en": [f"a cat {n}" for n in range(8)], "es": [f"un gato {n}" for n in range(8)]}


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def regions(path):
    """A position in the length, the JSON's beginning, middle and end, and the tensors' too."""
    size = path.stat().st_size
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    return (0, 3, 8, header // 2, header - 30, header, (header + size) // 2, size - 1)


def spoiled(path):
    """Each way of spoiling a shard in turn, the shard whole again before the next."""
    before = path.read_bytes()
    for position in regions(path):
        flip(path, position)
        yield f"flipped at {position}"
        path.write_bytes(before)
    for size in (0, 7, 8, 200, len(before) // 2, len(before) - 1):
        path.write_bytes(before[:size])
        yield f"cut to {size}"
        path.write_bytes(before)


def test_a_spoiled_shard_of_states_is_named_and_collected_anew(llama, tmp_path):
    corpus = Corpus.from_texts(TEXTS)

    def collect():
        return collect_states(llama, corpus, tmp_path / "s", shard_rows=4, progress=False)

    store = collect()
    whole = contents(store.path)
    for how in spoiled(store.path / "en-00001.safetensors"):
        [problem] = store.verify()
        assert "en-00001.safetensors" in problem, how
        with pytest.raises(ShiftlensError, match="en-00001"):
            for layer in store.layers:
                store.states("en", layer)
        if store.missing() == ["en-00001.safetensors"]:
            collect()
        else:  # a tensor's content is not read at every start: the message says what to do
            assert "delete the shard and collect again" in problem
            (store.path / "en-00001.safetensors").unlink()
            collect()
        assert contents(store.path) == whole, how


def test_a_spoiled_shard_of_moments_is_named(llama, tmp_path):
    halves = (np.arange(4), np.arange(4, 8))
    corpus = Corpus.from_texts(TEXTS)
    store = collect_token_moments(llama, corpus, tmp_path / "m", halves=halves, progress=False)
    name = store.manifest["shards"][0]["file"]
    for how in spoiled(store.path / name):
        problems = store.verify()
        assert problems and all(name in problem for problem in problems), how
    assert store.verify() == []


def test_verify_names_the_shard_on_the_command_line(warm, tmp_path, capsys):
    shutil.copytree(warm.home / "swept", tmp_path / "run")
    shard = next((tmp_path / "run" / "activations").glob(f"*{SHARD}"))
    flip(shard, shard.stat().st_size - 1)
    assert main(["verify", str(tmp_path / "run")]) == 1
    assert shard.name in capsys.readouterr().out


def test_a_spoiled_shard_stops_a_sweep_with_one_line(warm, undisturbed, tmp_path):
    shutil.copytree(warm.home / "swept", tmp_path / "run")
    shard = next((tmp_path / "run" / "activations").glob(f"*{SHARD}"))
    flip(shard, shard.stat().st_size - 1)
    assert shard.name in warm.run("sweep", tmp_path / "run").message
    shard.unlink()
    warm.done("sweep", tmp_path / "run")
    assert differing(contents(tmp_path / "run"), undisturbed["sweep"][0]) == []


def test_a_shard_with_a_sentence_twice_is_no_store(tmp_path):
    """Rows are placed by number: one that no shard has must not be what memory held before."""
    manifest = {
        "model": {"sha256": "m", "d_model": 2},
        "corpus": {"sha256": "c", "languages": ["en"], "sentences": 3},
        "layers": [0],
        "pooling": {"special_tokens": False, "skip_first": False},
        "shards": [{"file": "en-00000.safetensors", "language": "en", "rows": 3}],
    }
    for rows in ([0, 1, 1], [0, 1, 3], [0, 1], [0, 1, -1]):
        store = ActivationStore.create(tmp_path / str(rows), manifest)
        store.write("en-00000.safetensors", np.array(rows), np.ones((len(rows), 1, 2)))
        with pytest.raises(ShiftlensError, match="each of its 3 sentences once"):
            store.states("en", 0)


def test_a_spoiled_vector_is_no_other_vector(warm, tmp_path):
    shutil.copytree(warm.home / "trained" / "model", tmp_path / "model")
    path = tmp_path / "model" / "shift.safetensors"
    whole, before = path.read_bytes(), Shift.load(tmp_path / "model").vectors.vectors
    rng = random.Random(0)
    positions = [*regions(path), *(rng.randrange(len(whole)) for _ in range(60))]
    refused = 0
    for position in positions:
        flip(path, position)
        try:
            found = Shift.load(tmp_path / "model").vectors.vectors
            assert all((found[code] == before[code]).all() for code in before)
        except ShiftlensError as error:
            assert "shift.safetensors" in str(error)
            refused += 1
        path.write_bytes(whole)
    assert refused > 0.9 * len(positions)


@pytest.mark.parametrize(
    "name",
    [
        "optimizer.pt",
        pytest.param("model.safetensors", marks=pytest.mark.slow),
        pytest.param("rng_state.pth", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(warm, undisturbed, tmp_path, name):
    """The training goes on from the one before it, to the same end."""
    out = tmp_path / "run"
    shutil.copytree(warm.home / "trained", out)
    newest = last_checkpoint(out / "checkpoints")
    flip(newest / name, (newest / name).stat().st_size // 2)
    assert last_checkpoint(out / "checkpoints") != newest
    shutil.rmtree(out / "model")
    warm.done("train", out)
    assert differing(contents(out), undisturbed["train"][0]) == []


def test_a_damaged_model_is_not_exported_nor_tested(warm, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(warm.home / "trained", run)
    weights = run / "model" / "model.safetensors"
    flip(weights, weights.stat().st_size - 3)
    for use in (
        lambda: export_run(run, tmp_path / "out", say=lambda line: None),
        lambda: run_tests(str(run), str(warm.home / "sft.jsonl"), device="cpu"),
    ):
        with pytest.raises(ShiftlensError, match="its weights have changed since"):
            use()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["sweep", "train", "export"])
def test_a_second_run_in_a_folder_is_refused(warm, tmp_path, what):
    out = tmp_path / "out"
    held = writing(out.with_name("out.partial")) if what == "export" else running(out)
    with held:
        line = warm.run(what, out).message
        assert "another process is writing to" in line and "out" in line
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert left in ([RUN_LOCK], ["out.partial.lock"])
    warm.done(what, out)


def test_a_second_demo_in_a_folder_is_refused(tmp_path, capsys):
    with running(tmp_path / "demo"):
        assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert "another process is writing to" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [RUN_LOCK]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("inputs.json", text) for text in ("", "[]", "{}", "[" * 5000)),
        *(("config.yaml", text) for text in ("", "- a", "arm: [", "x: *y")),
    ],
)
def test_a_training_does_not_go_on_without_knowing_what_it_was(warm, tmp_path, name, content):
    run = tmp_path / "run"
    shutil.copytree(warm.home / "trained", run, ignore=shutil.ignore_patterns("*.html"))
    (run / name).write_text(content)
    message = warm.run("train", run).message
    assert str(run) in message and len(message) < 2500
    assert json.loads((run / "area.json").read_text())["trained_area"] == [1, 3]
