"""The store gives back what was put in, or says what is wrong; it is never wrong in silence."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from safetensors.numpy import load_file

from shiftlens.collect import collect_states
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.files import RUN_LOCK, UNFINISHED, running, write_atomic, writing
from shiftlens.loading import load_model
from shiftlens.pooling import Pooling
from shiftlens.store import MANIFEST, ActivationStore

LAYERS, WIDTH, SENTENCES = 3, 4, 5
SHARDS = {"en-00000": [4, 0, 2], "en-00001": [1, 3], "es-00000": [0, 1, 2], "es-00001": [4, 3]}


def states_of(language):
    rng = np.random.default_rng(sum(map(ord, language)))
    return rng.normal(size=(SENTENCES, LAYERS, WIDTH)).astype(np.float32)


def manifest():
    return {
        "model": {"sha256": "m", "d_model": WIDTH, "n_layers": LAYERS - 1},
        "corpus": {"sha256": "c", "languages": ["en", "es"], "sentences": SENTENCES},
        "layers": list(range(LAYERS)),
        "pooling": {"special_tokens": False, "skip_first": False},
        "shards": [
            {"file": f"{name}.safetensors", "language": name[:2], "rows": len(rows)}
            for name, rows in SHARDS.items()
        ],
    }


@pytest.fixture
def store(tmp_path):
    store = ActivationStore.create(tmp_path / "store", manifest())
    with writing(store.path):
        for name, rows in SHARDS.items():
            store.write(f"{name}.safetensors", np.array(rows), states_of(name[:2])[rows])
    return store


def contents(path):
    """Name, bytes and identity of every file."""
    return {
        file.name: (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns)
        for file in path.iterdir()
    }


def test_what_was_written_is_read_back_in_corpus_order(store):
    again = ActivationStore.open(store.path)
    assert again.manifest == store.manifest
    assert (again.languages, again.layers, again.n_sentences) == (("en", "es"), (0, 1, 2), 5)
    for language in ("en", "es"):
        for layer in range(LAYERS):
            got = again.states(language, layer)
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, states_of(language)[:, layer])
    assert again.verify() == []
    assert again.missing() == []
    assert sorted(f.name for f in store.path.iterdir()) == sorted(
        [MANIFEST, *(f"{name}.safetensors" for name in SHARDS)]
    )


def test_the_same_states_make_the_same_bytes(store, tmp_path):
    twin = ActivationStore.create(tmp_path / "twin", manifest())
    for name, rows in reversed(SHARDS.items()):
        twin.write(f"{name}.safetensors", np.array(rows), states_of(name[:2])[rows])
    one, two = contents(store.path), contents(twin.path)
    assert {name: got[0] for name, got in one.items()} == {
        name: got[0] for name, got in two.items()
    }


def flip(path, position, bits):
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["first", "middle", "last"])
def test_a_flipped_bit_in_the_states_is_found_and_named(store, part):
    name = "es-00000.safetensors"
    path = store.path / name
    size = path.stat().st_size
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    flip(path, {"first": start, "middle": (start + size) // 2, "last": size - 1}[part], 1)
    problems = store.verify()
    assert len(problems) == 1
    assert name in problems[0] and "does not match its hash" in problems[0]
    failed = 0
    for layer in range(LAYERS):
        try:
            np.testing.assert_array_equal(store.states("es", layer), states_of("es")[:, layer])
        except ShiftlensError as error:
            failed += 1
            assert name in str(error) and "\n" not in str(error)
    # The row numbers come first, and every layer needs them.
    assert failed == (LAYERS if part == "first" else 1)
    np.testing.assert_array_equal(store.states("en", 0), states_of("en")[:, 0])


@pytest.mark.parametrize("bits", [1, 4, 0x1F, 0x80])
def test_no_damaged_byte_gives_other_states_in_silence(tmp_path, bits):
    """Every byte of a shard in turn: states() refuses, or gives exactly what was stored."""
    path = tmp_path / "store" / "en-00000.safetensors"
    only = {"file": path.name, "language": "en", "rows": SENTENCES}
    store = ActivationStore.create(path.parent, {**manifest(), "shards": [only]})
    store.write(path.name, np.arange(SENTENCES), states_of("en"))
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    silent = []
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= bits
        path.write_bytes(damaged)
        problems = store.verify()
        assert all(path.name in problem for problem in problems)
        if not problems:
            silent.append(position)
            for layer in range(LAYERS):
                got = store.states("en", layer)
                np.testing.assert_array_equal(got, states_of("en")[:, layer])
    # What stays silent is white space of the JSON header and the like.
    assert all(position < header for position in silent)
    assert len(silent) < 20


def test_a_truncated_shard_is_found_and_collected_again(store):
    name = "en-00001.safetensors"
    path = store.path / name
    whole = path.read_bytes()
    for size in (0, 1, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert store.missing() == [name]
        assert [name in problem for problem in store.verify()] == [True]
        with pytest.raises(ShiftlensError, match=name):
            store.states("en", 1)
    path.write_bytes(whole + b"more")
    assert store.missing() == [name]


def test_a_shard_of_another_store_is_not_taken_for_this_ones(store, tmp_path):
    other = ActivationStore.create(
        tmp_path / "other", {**manifest(), "model": {"sha256": "another", "d_model": WIDTH}}
    )
    name = "en-00000.safetensors"
    other.write(name, np.array(SHARDS["en-00000"]), states_of("es")[SHARDS["en-00000"]])
    shutil.copy(other.path / name, store.path / name)
    assert store.missing() == [name]
    with pytest.raises(ShiftlensError, match=r"en-00000\.safetensors is not of this manifest"):
        store.states("en", 0)


def test_shards_that_changed_places_are_found(store):
    one, two = (store.path / f"{name}.safetensors" for name in ("en-00000", "es-00000"))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    assert len(store.verify()) == 2
    with pytest.raises(ShiftlensError, match="en-00000"):
        store.states("en", 0)


CORPUS = Corpus.from_texts(
    {
        "en": ("one", "two and more", "three", "a", "five of them"),
        "es": ("uno", "dos y algo", "tres", "b", "cinco en total"),
    }
)


@pytest.fixture
def collected(llama, tmp_path):
    return collect_states(llama, CORPUS, tmp_path / "run", shard_rows=2, progress=False)


@pytest.mark.parametrize("damage", ["delete", "truncate"])
def test_a_lost_shard_alone_is_collected_again(collected, llama, damage):
    before = contents(collected.path)
    lost = collected.path / "es-00001.safetensors"
    if damage == "delete":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:-7])
    assert collected.missing() == [lost.name]
    with pytest.raises(ShiftlensError, match=lost.name):
        collected.states("es", 2)
    collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
    after = contents(collected.path)
    assert after[lost.name][0] == before[lost.name][0]
    assert after[lost.name][1:] != before[lost.name][1:]
    assert {k: v for k, v in after.items() if k != lost.name} == {
        k: v for k, v in before.items() if k != lost.name
    }


def test_a_complete_store_is_not_touched_and_the_model_not_run(collected, llama):
    before = contents(collected.path)
    calls = []
    llama.hf.model.register_forward_hook(lambda *_: calls.append(1))
    collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
    assert contents(collected.path) == before
    assert calls == []


def test_a_half_written_file_of_a_killed_run_is_swept_away(collected, llama):
    leftover = collected.path / "en-00000.safetensors.7.shiftlens.tmp"
    leftover.write_bytes(b"half")
    assert collected.verify() == []
    collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
    assert not leftover.exists()


def other_runs(llama):
    another = Corpus.from_texts({code: texts[::-1] for code, texts in CORPUS.texts.items()})
    with_fr = Corpus.from_texts({**CORPUS.texts, "fr": CORPUS.texts["es"]})
    seed_1 = load_model(tiny.tiny_model("llama", seed=1), tiny.tiny_tokenizer())
    half = load_model(tiny.tiny_model("llama").to(torch.bfloat16), tiny.tiny_tokenizer())
    return {
        "another model: sha256": (seed_1, CORPUS, {}),
        "another model: dtype, sha256": (half, CORPUS, {}),
        "another corpus: sha256": (llama, another, {}),
        "another corpus: languages, sha256": (llama, with_fr, {}),
        "another pooling: skip_first": (llama, CORPUS, {"pooling": Pooling(special_tokens=True)}),
        "another batching: batch_tokens": (llama, CORPUS, {"batch_tokens": 100}),
        "other shards": (llama, CORPUS, {"shard_rows": 3}),
    }


@pytest.mark.parametrize("what", [*other_runs(None)])
def test_states_of_another_run_are_not_mixed_in(collected, llama, what):
    before = contents(collected.path)
    model, corpus, options = other_runs(llama)[what]
    expected = what.replace("skip_first", "special_tokens")
    with pytest.raises(ShiftlensError, match="not mixed") as caught:
        collect_states(
            model, corpus, collected.path, **{"shard_rows": 2, **options}, progress=False
        )
    assert expected in str(caught.value) and str(collected.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(collected.path) == before


def test_a_folder_without_manifest_is_no_store(tmp_path):
    with pytest.raises(ShiftlensError, match=r"no activation store in .*nothing"):
        ActivationStore.open(tmp_path / "nothing")
    with pytest.raises(ShiftlensError, match="no activation store"):
        ActivationStore.open(tmp_path)


def test_no_damaged_byte_of_the_manifest_is_believed(store):
    """Every third byte in turn: refused, or (white space) read as it was."""
    path = store.path / MANIFEST
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 3):
        for bits in (1, 2, 0x1C, 0x80):
            path.write_bytes(whole)
            flip(path, position, bits)
            try:
                again = ActivationStore.open(store.path)
            except ShiftlensError as error:
                refused += 1
                assert MANIFEST in str(error) and "\n" not in str(error)
            else:
                assert again.manifest == store.manifest
    assert refused > len(whole)
    for content in (b"", b"{", b"[]", b"3", b"{}", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ShiftlensError, match=MANIFEST):
            ActivationStore.open(store.path)


def test_a_damaged_manifest_is_not_written_over(collected, llama):
    path = collected.path / MANIFEST
    path.write_text(path.read_text().replace('"sentences": 5', '"sentences": 4'))
    before = contents(collected.path)
    with pytest.raises(ShiftlensError, match="damaged"):
        collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
    assert contents(collected.path) == before


def test_a_store_of_a_later_format_is_refused(store):
    path = store.path / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(ShiftlensError, match="format 1"):
        ActivationStore.open(store.path)


HOLD = """
import sys
from shiftlens.files import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_and_a_reader_is_not(collected, llama):
    lost = collected.path / "en-00000.safetensors"
    whole = lost.read_bytes()
    command = [sys.executable, "-c", HOLD, str(collected.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        np.testing.assert_equal(collected.states("en", 0).shape, (5, 32))
        lost.unlink()
        with pytest.raises(ShiftlensError, match="another process is writing to"):
            collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
        assert not lost.exists()
        other.stdin.close()
    collect_states(llama, CORPUS, collected.path, shard_rows=2, progress=False)
    assert lost.read_bytes() == whole


def test_a_lock_is_given_back_after_an_error(store):
    with pytest.raises(KeyError), writing(store.path):
        raise KeyError
    with writing(store.path):
        pass


def test_a_store_in_the_working_folder_can_be_locked(llama, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert collect_states(llama, CORPUS, ".", progress=False).verify() == []


def test_a_full_disk_leaves_no_partial_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ShiftlensError, match=r"cannot write .*file\.json: No space left on device"):
        write_atomic(path, b"content")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"what was there")
    with pytest.raises(ShiftlensError, match="No space left"):
        write_atomic(path, b"content")
    assert [f.name for f in tmp_path.iterdir()] == ["file.json"]
    assert path.read_bytes() == b"what was there"


def test_a_disk_that_fills_up_while_collecting_leaves_whole_shards(llama, tmp_path, monkeypatch):
    calls = []
    fsync = os.fsync

    def fills_up(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(ShiftlensError, match="No space left"):
        collect_states(llama, CORPUS, tmp_path / "run", shard_rows=2, progress=False)
    assert sorted(f.name for f in (tmp_path / "run").iterdir()) == [
        "en-00000.safetensors",
        "en-00001.safetensors",
        MANIFEST,
    ]
    collect_states(llama, CORPUS, tmp_path / "run", shard_rows=2, progress=False)
    assert ActivationStore.open(tmp_path / "run").verify() == []


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one, and long")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_refused(llama, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ShiftlensError, match="cannot write to folder"):
            collect_states(llama, CORPUS, path, progress=False)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_language_or_layer_that_is_not_stored_is_refused_by_name(store):
    with pytest.raises(ShiftlensError, match=r"language 'fr' is not in .*\(there: en, es\)"):
        store.states("fr", 0)
    for layer in (-1, LAYERS):
        with pytest.raises(ShiftlensError, match=rf"layer {layer} is not in .*\(0\.\.2\)"):
            store.states("en", layer)


def test_a_run_sweeps_away_its_own_unfinished_files_and_no_others(tmp_path):
    whole, live, mine = (tmp_path / name for name in ("before", "runs/first", "notes"))
    for folder in (whole, live, mine):
        folder.mkdir(parents=True)
    (live / RUN_LOCK).touch()
    gone = [tmp_path / f"a.7{UNFINISHED}", whole / f"b.7{UNFINISHED}"]
    kept = [live / f"c.7{UNFINISHED}", mine / "notes.2024.tmp"]
    for file in (*gone, *kept):
        file.touch()
    with running(tmp_path):
        assert [file.exists() for file in gone] == [False, False]
        assert [file.exists() for file in kept] == [True, True]
        with pytest.raises(ShiftlensError, match="another process is writing"), running(tmp_path):
            pass


def test_a_shard_is_as_readable_as_the_manifest(store):
    names = (MANIFEST, store.manifest["shards"][0]["file"])
    assert len({(store.path / name).stat().st_mode for name in names}) == 1


@pytest.mark.parametrize("rows", [1, 2])
def test_a_layer_of_too_few_rows_is_refused_though_its_hash_is_right(store, rows):
    shard = store.manifest["shards"][0]
    tensors = load_file(store.path / shard["file"])
    tensors["layer.01"] = tensors["layer.01"][:rows]
    store._write(shard["file"], tensors)
    with pytest.raises(ShiftlensError, match="do not hold each of its"):
        store.states(shard["language"], 1)
    assert [line.endswith("wrong number of rows") for line in store.verify()] == [True]


def test_a_width_that_no_shard_has_is_refused_before_it_is_given_memory(tmp_path):
    model = {**manifest()["model"], "d_model": 10**13}
    forged = ActivationStore.create(tmp_path / "forged", {**manifest(), "model": model})
    for name, rows in SHARDS.items():
        forged.write(f"{name}.safetensors", np.array(rows), states_of(name[:2])[rows])
    with pytest.raises(ShiftlensError, match="do not hold each of its"):
        forged.states("en", 0)


def test_rows_that_are_no_whole_numbers_are_refused(store):
    shard = store.manifest["shards"][0]
    tensors = load_file(store.path / shard["file"])
    tensors["rows"] = tensors["rows"].astype(np.float64)
    store._write(shard["file"], tensors)
    with pytest.raises(ShiftlensError, match="do not hold each of its"):
        store.states(shard["language"], 1)
