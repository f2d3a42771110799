"""``neurons`` and ``steer`` go on where they were killed, and end byte for byte the same."""

import contextlib
import json
import shutil

import pytest
from tokenizers import normalizers
from torch import nn

from shiftlens import kept_tables, steering_curve
from shiftlens.cli import main
from shiftlens.corpora import load_corpus
from shiftlens.identity import tokenizer_sha256
from shiftlens.loading import load_model
from shiftlens.neurons import counts, passes
from shiftlens.sft import load_records

DEMO = ["--model", "demo", "--device", "cpu"]
GIVEN = {
    "neurons": [
        *("neurons", *DEMO, "--languages", "en,fi", "--sentences", "40"),
        *("--draws", "2", "--share", "0.05"),
    ],
    "steer": [
        *("steer", *DEMO, "--records", "few.jsonl", "--corpus", "few.tsv"),
        *("--source", "fi", "--target", "en", "--layer", "3", "--strengths", "0,1"),
    ],
}
COSTLY = {
    "neurons": [(counts, "_of_language"), (passes, "text_losses")],
    "steer": [(steering_curve, "generate_answers")],
}
PARTS = {
    "neurons": ["active-en", "active-fi", "plain", "scaled-en", "random-1", "as-active"],
    "steer": ["answers-0.0", "answers-1.0"],
}


def contents(folder):
    """Every file but the lock and the settings, which name the folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock" and file.name != "config.yaml"
    }


@pytest.fixture(scope="module", autouse=True)
def few(tmp_path_factory):
    """Few sentences and questions, in the folder that the commands are given in."""
    folder = tmp_path_factory.mktemp("few")
    table = load_corpus("demo", ["en", "fi"]).head(20).table()
    table.rename(columns={"sentence": "id"}).to_csv(folder / "few.tsv", sep="\t", index=False)
    records = [r for r in load_records("demo:validation") if r.language in ("en", "fi")]
    items = list(dict.fromkeys(record.item for record in records))[:20]
    kept = [record for record in records if record.item in items]
    rows = [{k: v for k, v in vars(r).items() if k != "messages"} for r in kept]
    (folder / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with contextlib.chdir(folder):
        yield


@pytest.fixture(scope="module", params=GIVEN)
def done(request, tmp_path_factory):
    """A command and the folder of its undisturbed run."""
    out = tmp_path_factory.mktemp("looks") / "x"
    assert main([*GIVEN[request.param], "--out", str(out)]) == 0
    return request.param, out


def counted(command, monkeypatch):
    """How often the costly functions are called from now on."""
    calls = []
    for module, name in COSTLY[command]:
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, **k: calls.append(1) or real(*a, **k)
        )
    return calls


def test_a_run_killed_at_any_part_goes_on_and_ends_the_same(done, tmp_path, monkeypatch):
    command, undisturbed = done
    write, out = kept_tables.write_atomic, tmp_path / "x"
    calls = counted(command, monkeypatch)
    for part in PARTS[command]:

        def killed(path, content, part=part):
            if path.stem == part:
                raise KeyboardInterrupt
            write(path, content)

        monkeypatch.setattr(kept_tables, "write_atomic", killed)
        assert main([*GIVEN[command], "--out", str(out)]) == 130
        assert not (out / "config.yaml").exists()
    monkeypatch.setattr(kept_tables, "write_atomic", write)
    calls.clear()
    assert main([*GIVEN[command], "--out", str(out)]) == 0
    assert len(calls) == {"neurons": 2, "steer": 1}[command], "only the last part was left"
    assert contents(out) == contents(undisturbed)


def test_a_finished_run_measures_nothing_again(done, tmp_path, monkeypatch):
    command, undisturbed = done
    out = tmp_path / "x"
    shutil.copytree(undisturbed, out)
    calls = counted(command, monkeypatch)
    assert main([*GIVEN[command], "--out", str(out)]) == 0
    assert calls == [] and contents(out) == contents(undisturbed)


def test_a_damaged_part_is_measured_again_and_no_other(done, tmp_path, monkeypatch):
    command, undisturbed = done
    out = tmp_path / "x"
    shutil.copytree(undisturbed, out)
    file = out / "read" / f"{PARTS[command][-1]}.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    calls = counted(command, monkeypatch)
    assert main([*GIVEN[command], "--out", str(out)]) == 0
    assert len(calls) == {"neurons": 2, "steer": 1}[command]
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize(
    ("command", "change", "differs"),
    [
        ("neurons", ["--seed", "1"], "corpus"),
        ("neurons", ["--share", "0.02"], "share"),
        ("steer", ["--layer", "2"], "layer"),
        ("steer", ["--kind", "language"], "kind"),
    ],
)
def test_a_run_that_did_not_finish_goes_on_with_nothing_else(
    done, tmp_path, capsys, command, change, differs
):
    if command != done[0]:
        return
    out = tmp_path / "x"
    shutil.copytree(done[1], out)
    (out / "config.yaml").unlink()
    before = contents(out)
    assert main([*GIVEN[command], *change, "--out", str(out)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{out} holds a run of {command} that differs in {differs}" in line
    assert contents(out) == before


def with_another_head(model):
    model.hf.get_output_embeddings().weight.data += 0.1


def with_another_normalizer(model):
    model.tokenizer.backend_tokenizer.normalizer = normalizers.Replace("?", "!")


@pytest.mark.parametrize(
    ("change", "differs"),
    [(with_another_head, "unembedding"), (with_another_normalizer, "tokenizer")],
)
def test_the_parts_of_another_model_on_the_same_base_are_not_taken(
    done, tmp_path, capsys, change, differs
):
    model, out = load_model("demo", device="cpu"), tmp_path / "x"
    head = model.hf.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    model.hf.config.tie_word_embeddings = False

    def save():
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        model.hf.save_pretrained(tmp_path / "m")
        model.tokenizer.save_pretrained(tmp_path / "m")

    save()
    corpus = ["--corpus", "demo"] if done[0] == "neurons" else []
    given = [*GIVEN[done[0]], *corpus, "--model", str(tmp_path / "m"), "--out", str(out)]
    assert main(given) == 0
    before, sha256 = contents(out), model.sha256
    change(model)
    save()
    assert model.sha256 == sha256
    assert main(given) == 2
    assert f"holds a run of {done[0]} that differs in {differs}" in capsys.readouterr().err
    assert contents(out) == before


def test_a_tokenizer_is_the_same_after_it_was_used():
    tokenizer = load_model("demo", device="cpu").tokenizer
    unused = tokenizer_sha256(tokenizer)
    tokenizer(["one", "two and three"], padding=True, truncation=True, max_length=2)
    assert tokenizer_sha256(tokenizer) == unused
    tokenizer.chat_template = "{{ messages[0].content }}"
    assert tokenizer_sha256(tokenizer) != unused


def test_a_steering_killed_while_it_collects_goes_on(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    out = tmp_path / "x"
    with monkeypatch.context() as patch:
        patch.setattr("shiftlens.collect._shard_states", killed)
        assert main([*GIVEN["steer"], "--out", str(out)]) == 130
    assert (out / "activations").is_dir()
    assert main([*GIVEN["steer"], "--out", str(out)]) == 0
