"""Instruction records: what loading refuses, and how prompt and completion become tokens."""

import json
from dataclasses import replace

import pytest
import tiny
from tokenizers import processors

from shiftlens.errors import ShiftlensError
from shiftlens.loading import load_model
from shiftlens.sft import (
    SftRecord,
    encode_prompts,
    encode_record,
    load_records,
    records_sha256,
    with_template,
)

GOOD = {"id": "a", "language": "en", "prompt": "two?", "completion": " two"}


def write(path, *lines):
    path.write_text(
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines),
        encoding="utf-8",
    )
    return path


def without(key):
    return {name: value for name, value in GOOD.items() if name != key}


def test_records_are_read_in_order(tmp_path):
    second = {**without("id"), "language": "PT-br", "choices": [" two", " dois"], "task": "x"}
    assert load_records(write(tmp_path / "r.jsonl", GOOD, second)) == [
        SftRecord("a", "en", "two?", " two"),
        SftRecord("2", "pt-BR", "two?", " two", (" two", " dois")),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "malformed JSON"),
        ("[1]", "expected a JSON object"),
        ("", "empty line"),
        (without("prompt"), "'prompt' is missing"),
        (without("completion"), "'completion' is missing"),
        (without("language"), "'language' is missing"),
        ({**GOOD, "prompt": " "}, "'prompt' is empty"),
        ({**GOOD, "completion": ""}, "'completion' is empty"),
        ({**GOOD, "language": "klingonish"}, "'klingonish' is not a BCP-47 language code"),
        ({**GOOD, "completion": 2}, "'completion' is 2; make it a string"),
        ({**GOOD, "prompt": None}, "'prompt' is None; make it a string"),
        ({**GOOD, "id": 7}, "'id' is 7; make it a string"),
        ({**GOOD, "choices": " two"}, "'choices' is not a list of strings"),
        ({**GOOD, "choices": [" two", 2]}, "'choices' is not a list of strings"),
        ({**GOOD, "choices": ["two"]}, "'choices' lacks the completion ' two'"),
        ({**GOOD, "choices": [" two", " a", " a"]}, "'choices' holds a text twice"),
        ({**GOOD, "id": "first"}, "id 'first' was used in line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "r.jsonl", {**GOOD, "id": "first"}, line)
    with pytest.raises(ShiftlensError) as error:
        load_records(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_utf8_empty_or_absent(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(ShiftlensError, match="no such file"):
        load_records(path)
    path.write_bytes(b"")
    with pytest.raises(ShiftlensError, match="is empty"):
        load_records(path)
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "\xff"}\n')
    with pytest.raises(ShiftlensError, match="line 2: not UTF-8"):
        load_records(path)


def test_labels_cover_the_completion_and_eos(llama):
    ids, labels = encode_record(llama, SftRecord("1", "en", "ab", " c"))
    space, letter = llama.tokenizer.convert_tokens_to_ids([" ", "c"])
    assert ids == [0, 4, 5, space, letter, 2]
    assert labels == [-100, -100, -100, space, letter, 2]
    assert llama.tokenizer.decode(ids[3:5]) == " c"


@pytest.mark.parametrize("template", ["<s> $A </s>", "$A </s>", "<s> $A", "$A"])
def test_a_prompt_keeps_only_the_special_tokens_before_it(llama, template):
    llama.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    bos = [0] if template.startswith("<s>") else []
    assert encode_prompts(llama, ["ab", "ab</s>"]) == [[*bos, 4, 5], [*bos, 4, 5, 2]]


def test_a_long_record_loses_its_end(llama):
    record = SftRecord("1", "en", "ab", "cde")
    ids, labels = encode_record(llama, record)
    assert encode_record(llama, record, 5) == (ids[:5], labels[:5])
    assert len(encode_record(llama, SftRecord("1", "en", "a" * 60, "b" * 60))[0]) == 64
    with pytest.raises(ShiftlensError, match=r"record '1' \(en\): the prompt's 3 tokens leave no"):
        encode_record(llama, record, 3)


def test_a_tokenizer_without_eos_is_refused():
    tokenizer = tiny.tiny_tokenizer()
    tokenizer.eos_token = None
    model = load_model(tiny.tiny_model("llama"), tokenizer)
    with pytest.raises(ShiftlensError, match="LlamaForCausalLM has no EOS token"):
        encode_record(model, SftRecord("1", "en", "ab", "c"))


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'critic' %}"
    "{{ raise_exception('no critics') }}{% endif %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "two?"},
    {"role": "assistant", "content": "two"},
]


def chats(tmp_path, *lines):
    path = tmp_path / "chats.jsonl"
    rows = [{"id": "c", "language": "sw", "messages": CHAT} | line for line in lines or ({},)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_chat_becomes_the_prompt_that_transformers_makes_of_it(tmp_path, llama):
    [record] = load_records(chats(tmp_path))
    assert (record.completion, record.language) == ("two", "sw")
    llama.tokenizer.chat_template = TEMPLATE
    [made] = with_template(llama, [record])
    assert made.prompt == "[system] be brief [user] two? [assistant] "
    ids = llama.tokenizer.apply_chat_template(CHAT[:-1], add_generation_prompt=True)["input_ids"]
    assert encode_prompts(llama, [made.prompt]) == [ids]
    assert with_template(llama, [made]) == [made]
    assert records_sha256([record]) != records_sha256([replace(record, messages=())])


def test_a_chat_that_cannot_be_a_prompt_is_named(tmp_path, llama):
    [record] = load_records(chats(tmp_path))
    llama.tokenizer.chat_template = None
    with pytest.raises(ShiftlensError, match="record 'c' is a chat, and the tokenizer"):
        with_template(llama, [record])
    llama.tokenizer.chat_template = TEMPLATE
    strange = replace(record, messages=(("critic", "bad"),))
    with pytest.raises(ShiftlensError, match="refuses it: no critics"):
        with_template(llama, [strange])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": CHAT[:2]}, "do not end with the assistant's answer"),
        ({"messages": CHAT[2:]}, "do not end with the assistant's answer"),
        ({"messages": "two?"}, "do not end with the assistant's answer"),
        ({"messages": [{"role": "user"}, CHAT[2]]}, "lacks its 'role' or 'content'"),
        ({"messages": ["two?", CHAT[2]]}, "lacks its 'role' or 'content'"),
        ({"prompt": "two?"}, "it has 'messages' and a prompt"),
    ],
)
def test_damaged_chats_are_named_by_line(tmp_path, change, message):
    with pytest.raises(ShiftlensError, match=f"line 2.*{message}"):
        load_records(chats(tmp_path, {}, {"id": "d", **change}))
