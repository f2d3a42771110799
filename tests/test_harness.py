"""lm-evaluation-harness on a shifted model: the same items through hooks, weights and evaluate."""

import pytest
import yaml

from shiftlens import LanguageVectors, Shift, ShiftlensError, load_corpus, load_model
from shiftlens.answers import completion_log_probs, generate_answers
from shiftlens.bake import bake
from shiftlens.evaluate import evaluate
from shiftlens.harness import results_table, run_harness, write_tasks
from shiftlens.sft import load_records

CODES = ("en", "fi", "fa")
EACH = 25


@pytest.fixture(scope="module")
def demo():
    return load_model("demo", device="cpu")


@pytest.fixture(scope="module")
def shift(demo):
    return Shift(LanguageVectors.from_model(demo, load_corpus("demo").head(64)), (2, 5))


@pytest.fixture(scope="module")
def records():
    every = load_records("demo:test")
    return [r for code in CODES for r in [r for r in every if r.language == code][:EACH]]


@pytest.fixture(scope="module")
def folder(demo, records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    assert write_tasks(demo, records, folder, "world") == [f"world_{code}" for code in CODES]
    return folder


def answers(found, task):
    samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
    return [sample["filtered_resps"][0] for sample in samples]


@pytest.mark.parametrize("code", CODES)
def test_hooks_weights_and_evaluate_agree_to_the_item(demo, shift, records, folder, code):
    task = f"world_{code}"
    hooked = run_harness(demo, [task], shift, code, folder=folder)
    baked = run_harness(bake(demo, shift, code), [task], folder=folder)
    ours = [
        answer
        for record, answer in zip(records, generate_answers(demo, records, shift), strict=True)
        if record.language == code
    ]
    assert answers(hooked, task) == answers(baked, task) == ours
    expected = evaluate(demo, records, shift).set_index("language").loc[code, "exact_match"]
    for found in (hooked, baked):
        assert results_table(found).set_index("metric").loc["exact_match", "value"] == expected


def test_the_shift_matters_to_these_answers(demo, shift, records):
    plain = generate_answers(demo, records)
    moved = generate_answers(demo, records, shift)
    changed = {r.language for r, a, b in zip(records, plain, moved, strict=True) if a != b}
    assert changed == {"fi", "fa"}


def test_likelihoods_are_ours_too(demo, shift, records, folder):
    own = [record for record in records if record.language == "fi"]
    facts = {
        "task": "likely_fi",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "world_fi.jsonl")}},
        "test_split": "test",
        "output_type": "loglikelihood",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{completion}}</s>",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    (folder / "likely_fi.yaml").write_text(yaml.safe_dump(facts))
    expected = completion_log_probs(demo, own, [[r.completion] for r in own], shift)
    for model, on, code in ((demo, shift, "fi"), (bake(demo, shift, "fi"), None, None)):
        found = run_harness(model, ["likely_fi"], on, code, folder=folder)
        samples = sorted(found["samples"]["likely_fi"], key=lambda sample: sample["doc_id"])
        scores = [float(sample["filtered_resps"][0][0]) for sample in samples]
        assert scores == pytest.approx([score for [score] in expected], abs=1e-4)


def test_the_model_and_its_tokenizer_are_left_as_they_were(demo, shift, folder):
    side, pad = demo.tokenizer.padding_side, demo.tokenizer.pad_token
    run_harness(demo, ["world_fi"], shift, "fi", folder=folder, limit=2)
    assert (demo.tokenizer.padding_side, demo.tokenizer.pad_token) == (side, pad)
    assert not any(module._forward_hooks for module in demo.hf.modules())


def test_what_cannot_be_run_is_refused(demo, shift, folder):
    with pytest.raises(ShiftlensError, match="needs the tasks' language; give one of"):
        run_harness(demo, ["world_fi"], shift, folder=folder)
    with pytest.raises(ShiftlensError, match="'xx' has no vectors"):
        run_harness(demo, ["world_fi"], shift, "xx", folder=folder)
    with pytest.raises(ShiftlensError, match="no task 'nothing'"):
        run_harness(demo, ["nothing"], folder=folder)
