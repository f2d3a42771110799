import hashlib
import json
import unicodedata
from bisect import bisect_left
from itertools import product

import pytest
import torch
from num2words import num2words
from transformers import AutoModelForCausalLM, AutoTokenizer

from shiftlens.demo import (
    GROUPS,
    LANGUAGES,
    build,
    demo_corpus,
    demo_model_path,
    group_of,
    items,
    parallel_texts,
    pretraining_texts,
    sft_records,
    world,
    write_demo_files,
)
from shiftlens.demo.numbers import NUMBERS
from shiftlens.demo.sentences import SENTENCES, TASKS
from shiftlens.errors import ShiftlensError

torch.set_num_threads(1)

HELD_OUT = [*items.items("validation"), *items.items("test")]


@pytest.fixture(scope="module")
def training_texts():
    """Every text that anything is trained on or swept over."""
    texts = pretraining_texts(build.SEED)
    texts += [record["prompt"] + record["completion"] for record in sft_records("train")]
    return sorted({*texts, *(text for side in parallel_texts().values() for text in side)})


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(demo_model_path(), local_files_only=True)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(demo_model_path(), local_files_only=True).eval()


@pytest.mark.parametrize("language", LANGUAGES)
def test_number_words_are_those_of_num2words(language):
    theirs = [num2words(number, lang=language) for number in range(items.LARGEST + 1)]
    ours = list(NUMBERS[language])
    if language == "tr":  # num2words joins Turkish numbers as on cheques: "onbir" for "on bir"
        ours = [word.replace(" ", "") for word in ours]
    assert ours == theirs


def test_eight_languages_and_four_scripts():
    text = {language: "".join(world.counting(language)) for language in LANGUAGES}
    scripts = {
        unicodedata.name(letter).split()[0]
        for side in text.values()
        for letter in side
        if letter.isalpha()
    }
    assert len(LANGUAGES) == len(set(LANGUAGES)) >= 8
    assert {"LATIN", "CYRILLIC", "CJK", "HANGUL", "ARABIC"} <= scripts
    assert len(GROUPS["dominant"]) == 1
    assert len(GROUPS["mid"]) >= 3
    assert len(GROUPS["low"]) >= 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_template_names_what_its_task_needs(language):
    forms = SENTENCES[language]
    for task in TASKS:
        fields = ["{a}"] if task in ("next", "previous") else ["{a}", "{b}"]
        question, statement = forms.questions[task], forms.statements[task]
        assert [field for field in ("{a}", "{b}", "{c}") if field in question] == fields
        assert [question.index(field) for field in fields] == sorted(map(question.index, fields))
        places = [statement.index(field) for field in [*fields, "{c}"]]
        assert places == sorted(places)


def test_splits_are_disjoint_and_balanced():
    splits = {split: {item.id for item in items.items(split)} for split in items.SPLITS}
    assert not splits["train"] & splits["validation"]
    assert not splits["train"] & splits["test"]
    assert not splits["validation"] & splits["test"]
    for split, size in items.HELD_OUT.items():
        tasks = [item.task for item in items.items(split)]
        assert {task: tasks.count(task) for task in set(tasks)} == dict.fromkeys(
            ("larger", "smaller", "plus"), size
        )


def test_no_held_out_item_and_its_mirror_are_both_held_out():
    mirrored = {(item.task, item.b, item.a) for item in HELD_OUT}
    assert not mirrored & {(item.task, item.a, item.b) for item in HELD_OUT}


def test_held_out_items_are_in_no_text_of_any_language(training_texts):
    lines = sorted("\n".join(training_texts).split("\n"))

    def begins_a_line(text):
        place = bisect_left(lines, text)
        return place < len(lines) and lines[place].startswith(text)

    for language in LANGUAGES:
        pair = ("en", language)
        for frame, a, b in set(product(pair, repeat=3)):
            # At the start of a line: in Japanese "1 plus 2" is also the end of "21 plus 2".
            asked, stated = (
                [
                    world._fill(templates[item.task].split("{c}")[0], item, frame, a, b)
                    for item in [*HELD_OUT, *items.exposed(language)]
                ]
                for templates in (SENTENCES[frame].questions, SENTENCES[frame].statements)
            )
            assert not any(begins_a_line(text) for text in asked[: len(HELD_OUT)])
            assert not any(begins_a_line(text) for text in stated[: len(HELD_OUT)])
            found = sum(begins_a_line(text) for text in asked + stated)
            assert found > 10, "the search must be able to find"


def test_exposure_is_graded():
    train = [item for item in items.items("train") if item.b is not None]
    for language in LANGUAGES:
        seen = items.exposed(language)
        share = sum(item.b is not None for item in seen) / len(train)
        assert share == pytest.approx(items.EXPOSURE[group_of(language)], abs=0.002)
        assert sum(item.b is None for item in seen) == 2 * items.LARGEST
        assert set(seen) <= set(items.items("train"))


def test_parallel_texts_say_the_same_at_the_same_index():
    texts = parallel_texts()
    corpus = demo_corpus()
    assert list(texts) == list(LANGUAGES)
    for language, side in texts.items():
        assert corpus.texts[language] == tuple(side)
        assert len(side) == len(set(side)) == len(corpus.ids)
        for name, text in zip(corpus.ids, side, strict=True):
            task, *operands = name.split("-")
            words = [NUMBERS[language][int(number)] for number in operands]
            fields = dict(zip("ab", words, strict=False))
            assert text == SENTENCES[language].questions[task].format(**fields)


def test_records_answer_their_questions():
    for split in items.SPLITS:
        records = sft_records(split)
        assert len({record["id"] for record in records}) == len(records)
        for record in records:
            language = record["language"]
            task, *operands = record["id"].removesuffix(f".{language}").split("-")
            a, b = [int(number) for number in operands] + [0] * (2 - len(operands))
            answer = {"next": a + 1, "previous": a - 1, "plus": a + b}.get(task)
            if answer is None:
                answer = max(a, b) if task == "larger" else min(a, b)
            assert record["completion"].strip() == NUMBERS[language][answer]
            assert record["choices"][answer] == record["completion"]
            assert len(set(record["choices"])) == items.LARGEST + 1
    assert len(sft_records("test")) == len(items.items("test")) * len(LANGUAGES)


def test_world_is_frozen():
    parts = [pretraining_texts(0), parallel_texts(), *map(sft_records, items.SPLITS)]
    assert pretraining_texts(0) != pretraining_texts(1)
    assert sorted(pretraining_texts(0)) == sorted(pretraining_texts(1))
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    assert digest == "608030eb0d336646c2534f089f12df23334ace63bd7df6693df92500fb645e3a"


def test_written_files_hold_the_world(tmp_path):
    out = write_demo_files(tmp_path / "demo")
    for split in items.SPLITS:
        lines = (out / f"sft/{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == sft_records(split)
    names = {path.stem for path in (out / "parallel").iterdir()}
    assert names == set(LANGUAGES)
    for language, side in parallel_texts().items():
        path = out / f"parallel/{language}.txt"
        assert path.read_text(encoding="utf-8").splitlines() == side
    with pytest.raises(ShiftlensError, match="is a file"):
        write_demo_files(out / "parallel/en.txt")


def test_unknown_names_are_explained():
    with pytest.raises(ShiftlensError, match="no split 'dev'"):
        sft_records("dev")
    with pytest.raises(ShiftlensError, match="no language 'xx'"):
        group_of("xx")


def test_tokenizer_knows_and_returns_every_text(tokenizer, training_texts):
    texts = training_texts + [
        record["prompt"] + choice
        for record in sft_records("validation")[:: len(HELD_OUT)]
        for choice in record["choices"]
    ]
    texts += [record["prompt"] for split in items.HELD_OUT for record in sft_records(split)]
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_prompt_and_completion_tokenize_apart_as_together(tokenizer):
    for record in sft_records("validation"):
        apart = tokenizer(record["prompt"])["input_ids"]
        apart += tokenizer(record["completion"], add_special_tokens=False)["input_ids"]
        assert tokenizer(record["prompt"] + record["completion"])["input_ids"] == apart


def test_shipped_model_is_the_described_one(model, tokenizer):
    config = model.config
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("llama", 6, 64)
    assert config.vocab_size == len(tokenizer)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        assert getattr(config, name) == getattr(tokenizer, name) is not None
    assert sum(path.stat().st_size for path in demo_model_path().iterdir()) < 4e6


def test_shipped_tokenizer_is_the_built_one(tokenizer):
    assert build.world_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_base_model_has_an_honest_gap(model, tokenizer):
    accuracy = build.validation_accuracy(model, tokenizer)
    assert accuracy["dominant"] > 0.9
    assert accuracy["dominant"] > accuracy["mid"] > accuracy["low"] > 2 / (items.LARGEST + 1)


def test_training_from_one_seed_repeats(monkeypatch, tokenizer):
    texts = pretraining_texts(build.SEED)[:500]
    monkeypatch.setattr(build, "pretraining_texts", lambda seed: texts)
    monkeypatch.setattr(build, "STEPS", 3)
    first, second = (build.train_base(tokenizer).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
