import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftlens.corpora import Corpus, load_corpus
from shiftlens.errors import ShiftlensError


def write(root, files):
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (root / name).write_bytes(data)
    return root


TXT = {"en.txt": "one\ntwo\n", "es.txt": "uno\ndos\n"}
TSV = {"en.tsv": "a\tone\nb\ttwo\n", "es.tsv": "b\tdos\na\tuno\n"}
JSONL = {
    "en.jsonl": '{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n',
    "es.jsonl": '{"id": "b", "text": "dos"}\n{"id": "a", "text": "uno", "extra": 1}\n',
}
TABLE_TSV = {"c.tsv": "id\ten\tes\na\tone\tuno\nb\ttwo\tdos\n"}
TABLE_JSONL = {
    "c.jsonl": '{"id": "a", "en": "one", "es": "uno"}\n{"id": "b", "en": "two", "es": "dos"}\n'
}
NTREX = {"news-src.eng.txt": TXT["en.txt"], "news-ref.spa.txt": TXT["es.txt"]}
FLORES = {"eng_Latn.devtest": TXT["en.txt"], "spa_Latn.devtest": TXT["es.txt"]}
EN, ES = ("one", "two"), ("uno", "dos")


@pytest.mark.parametrize(
    ("files", "target", "ids"),
    [
        (TXT, ".", ("1", "2")),
        (NTREX, ".", ("1", "2")),
        (FLORES, ".", ("1", "2")),
        (TSV, ".", ("a", "b")),
        (JSONL, ".", ("a", "b")),
        ({"en.tsv": TSV["en.tsv"], "es.jsonl": JSONL["es.jsonl"]}, ".", ("a", "b")),
        (TABLE_TSV, "c.tsv", ("a", "b")),
        (TABLE_JSONL, "c.jsonl", ("a", "b")),
    ],
)
def test_layouts(tmp_path, files, target, ids):
    corpus = load_corpus(write(tmp_path, files) / target)
    assert corpus == Corpus(ids, {"en": EN, "es": ES})
    assert corpus.languages == ("en", "es")
    assert len(corpus) == 2
    assert corpus.dropped == {}
    turned = load_corpus(tmp_path / target, ["es", "en"])
    assert turned.languages == ("es", "en")
    assert load_corpus(tmp_path / target, ["es"]).languages == ("es",)


def test_ids_follow_the_first_language(tmp_path):
    corpus = load_corpus(write(tmp_path, TSV), ["es", "en"])
    assert corpus.ids == ("b", "a")
    assert corpus.texts["en"] == ("two", "one")


def test_other_files_in_a_folder_are_ignored(tmp_path):
    others = {"README.md": "# hi", "doc_ids.txt": "x\n", "verses.txt": "x", "en.csv": "x"}
    (tmp_path / "de.txt").mkdir()
    corpus = load_corpus(write(tmp_path, TXT | others))
    assert corpus.languages == ("en", "es")
    write(tmp_path, {"fr.txt": "un\n", "es.tsv": "a\tuno\n"})
    assert load_corpus(tmp_path, ["en"]).languages == ("en",)


def test_other_columns_are_ignored_when_languages_are_given(tmp_path):
    write(tmp_path, {"c.tsv": "en\tnote\tid\none\t\ta\n"})
    write(tmp_path, {"c.jsonl": '{"id": "a", "en": "one", "note": 3}\n'})
    for name in ("c.tsv", "c.jsonl"):
        assert load_corpus(tmp_path / name, ["en"]) == Corpus(("a",), {"en": ("one",)})


def test_file_names_are_canonicalised(tmp_path):
    write(tmp_path, {"PT-br.txt": "um\n", "iw.txt": "x\n"})
    assert load_corpus(tmp_path).languages == ("he", "pt-BR")


@pytest.mark.parametrize("separator", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85", "\r"])
def test_only_line_feeds_end_lines(tmp_path, separator):
    text = f"one{separator}and a half"
    corpus = load_corpus(write(tmp_path, {"en.txt": f"{text}\r\ntwo"}))
    assert corpus.texts["en"] == (text, "two")


def test_bom_crlf_and_surrounding_space_are_stripped_and_text_is_not_normalised(tmp_path):
    content = b"\xef\xbb\xbf" + " cafe\u0301 \r\ncaf\u00e9\u00a0\r\n".encode()
    corpus = load_corpus(write(tmp_path, {"en.txt": content}))
    assert corpus.texts["en"] == ("cafe\u0301", "caf\u00e9")
    table = b"\xef\xbb\xbf" + TABLE_TSV["c.tsv"].replace("\n", "\r\n").encode()
    assert load_corpus(write(tmp_path, {"c.tsv": table}) / "c.tsv").texts["es"] == ES


A = "a\tone\n"
ERRORS = {
    "missing path": ({}, "nowhere", None, ["nowhere", "no such file"]),
    "unknown file": ({"c.csv": "x"}, "c.csv", None, ["c.csv", ".tsv or .jsonl"]),
    "no language files": ({"README.md": "x"}, ".", None, ["en.txt"]),
    "empty txt": ({"en.txt": ""}, ".", None, ["en.txt", "empty"]),
    "only bom": ({"en.txt": b"\xef\xbb\xbf"}, ".", None, ["en.txt", "empty"]),
    "only header": ({"c.tsv": "id\ten\n"}, "c.tsv", None, ["c.tsv", "no sentences"]),
    "no columns": ({"c.tsv": "id\n1\n"}, "c.tsv", None, ["c.tsv", "no sentences"]),
    "empty jsonl": ({"c.jsonl": ""}, "c.jsonl", None, ["c.jsonl", "empty"]),
    "not utf-8": ({"en.txt": b"a\nb\xff\n"}, ".", None, ["en.txt, line 2", "byte 3"]),
    "not utf-8 after bom": (
        {"en.tsv": b"\xef\xbb\xbfa\tb\xff\n"},
        ".",
        None,
        ["en.tsv, line 1", "byte 6"],
    ),
    "empty line": ({"en.txt": "a\nb\n", "es.txt": "a\n \n"}, ".", None, ["es.txt, line 2", "es"]),
    "empty last line": ({"en.txt": "a\n\n"}, ".", None, ["en.txt, line 2"]),
    "empty tsv line": ({"en.tsv": A + "\n"}, ".", None, ["en.tsv, line 2", "empty"]),
    "empty tsv text": ({"en.tsv": A + "b\t \n"}, ".", None, ["en.tsv, line 2", "empty"]),
    "empty tsv id": ({"en.tsv": A + "\tb\n"}, ".", None, ["en.tsv, line 2", "id is empty"]),
    "empty cell": ({"c.tsv": "id\ten\tes\na\tone\t\n"}, "c.tsv", None, ["c.tsv, line 2", "es"]),
    "empty jsonl line": ({"c.jsonl": "\n"}, "c.jsonl", None, ["c.jsonl, line 1", "empty"]),
    "unequal counts": (
        {"en.txt": "a\nb\nc\n", "es.txt": "a\n"},
        ".",
        None,
        ["en.txt has 3 lines", "es.txt has 1"],
    ),
    "duplicate id": ({"en.tsv": A + "b\tx\n" + A}, ".", None, ["en.tsv, line 3", "line 1", "'a'"]),
    "id missing later": (
        {"en.tsv": A + "b\ttwo\n", "es.tsv": A},
        ".",
        None,
        ["en.tsv, line 2", "'b'", "es.tsv (es)"],
    ),
    "id missing first": (
        {"en.tsv": A, "es.tsv": A + "b\ttwo\n"},
        ".",
        None,
        ["es.tsv, line 2", "'b'", "en.tsv (en)"],
    ),
    "too few cells": ({"en.tsv": A + "b\n"}, ".", None, ["en.tsv, line 2", "expected 2"]),
    "too many cells": ({"en.tsv": "a\tb\tc\n"}, ".", None, ["en.tsv, line 1", "3 tab"]),
    "header in a language file": ({"en.tsv": "id\ten\n" + A}, ".", None, ["en.tsv, line 1"]),
    "header without id": ({"c.tsv": "en\tes\na\tb\n"}, "c.tsv", None, ["c.tsv, line 1", "'id'"]),
    "column twice": ({"c.tsv": "id\ten\ten\na\tb\tc\n"}, "c.tsv", None, ["line 1", "distinct"]),
    "language twice": ({"c.tsv": "id\ten\tEN\na\tb\tc\n"}, "c.tsv", None, ["c.tsv", "en and EN"]),
    "unknown column": ({"c.tsv": "id\tenglish\na\tb\n"}, "c.tsv", None, ["line 1", "'english'"]),
    "unknown key": (
        {"c.jsonl": '{"id": "a", "en": "x"}\n{"id": "b", "en": "x", "note": "y"}'},
        "c.jsonl",
        None,
        ["c.jsonl, line 2", "'note'"],
    ),
    "malformed json": ({"en.jsonl": '{"id": "a",\n'}, ".", None, ["en.jsonl, line 1", "JSON"]),
    "deep json": ({"en.jsonl": "[" * 100_000}, ".", None, ["en.jsonl, line 1", "JSON"]),
    "lone surrogate": (
        {"en.jsonl": '{"id": "a", "text": "\\ud800"}'},
        ".",
        None,
        ["en.jsonl, line 1", "surrogates"],
    ),
    "not an object": ({"en.jsonl": '["a"]\n'}, ".", None, ["en.jsonl, line 1", "object"]),
    "missing text": ({"en.jsonl": '{"id": "a"}'}, ".", None, ["en.jsonl, line 1", "'text'"]),
    "missing id": ({"c.jsonl": '{"en": "a"}'}, "c.jsonl", None, ["c.jsonl, line 1", "'id'"]),
    "missing language": (
        {"c.jsonl": '{"id": "a", "en": "x", "es": "y"}\n{"id": "b", "en": "x"}'},
        "c.jsonl",
        None,
        ["c.jsonl, line 2", "es"],
    ),
    "number as id": ({"en.jsonl": '{"id": 1, "text": "x"}'}, ".", None, ["line 1", "'id' is 1"]),
    "null as text": ({"c.jsonl": '{"id": "a", "en": null}'}, "c.jsonl", None, ["line 1", "'en'"]),
    "language not there": (TXT, ".", ["en", "fr"], ["'fr'", "en, es"]),
    "column not there": (TABLE_TSV, "c.tsv", ["en", "fr"], ["c.tsv", "'fr'", "en, es"]),
    "bad request": (TXT, ".", ["english"], ["did you mean 'en'?"]),
    "two formats": (TXT | {"en.tsv": A}, ".", None, ["en.tsv and en.txt", "'en'"]),
    "mixed alignment": (
        {"en.txt": "a", "es.tsv": A},
        ".",
        None,
        ["en.txt", "es.tsv", "one format"],
    ),
}


@pytest.mark.parametrize(("files", "target", "languages", "parts"), ERRORS.values(), ids=ERRORS)
def test_errors_say_where_and_what(tmp_path, files, target, languages, parts):
    with pytest.raises(ShiftlensError) as caught:
        load_corpus(write(tmp_path, files) / target, languages)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("method", ["read_bytes", "iterdir"])
def test_unreadable_files_and_folders_are_named(tmp_path, monkeypatch, method):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    write(tmp_path, TXT)
    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(ShiftlensError, match=r"cannot be read \(Permission denied\)") as caught:
        load_corpus(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("files", "target", "corpus"),
    [
        (
            {"en.txt": "a\n\nc\nd\n", "es.txt": "A\nB\nC\n\n"},
            ".",
            Corpus(("1", "3"), {"en": ("a", "c"), "es": ("A", "C")}, {"en": 1, "es": 1}),
        ),
        (
            {"en.tsv": "a\tone\nb\ttwo\nc\tthree\n", "es.tsv": "c\ttres\na\t\n"},
            ".",
            Corpus(("c",), {"en": ("three",), "es": ("tres",)}, {"en": 2}),
        ),
        (
            {"c.tsv": "id\ten\tes\na\tone\tuno\nb\t\tdos\n"},
            "c.tsv",
            Corpus(("a",), {"en": ("one",), "es": ("uno",)}, {"es": 1}),
        ),
        (
            {"c.jsonl": '{"id": "a", "en": "x"}\n{"id": "b", "es": "y", "en": "z"}\n'},
            "c.jsonl",
            Corpus(("b",), {"en": ("z",), "es": ("y",)}, {"en": 1}),
        ),
        (TXT, ".", Corpus(("1", "2"), {"en": EN, "es": ES})),
    ],
)
def test_keep_intersection_drops_and_reports(tmp_path, files, target, corpus):
    assert load_corpus(write(tmp_path, files) / target, keep_intersection=True) == corpus


def test_text_files_of_unequal_length_are_refused_even_when_keeping_the_intersection(tmp_path):
    write(tmp_path, {"en.txt": "a\nb\nc\n", "es.txt": "A\nC\n"})
    with pytest.raises(ShiftlensError, match=r"3 lines but .* has 2"):
        load_corpus(tmp_path, keep_intersection=True)


def test_demo_is_the_embedded_corpus_whatever_lies_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_corpus("demo", ["fi", "en"]).languages == ("fi", "en")
    with pytest.raises(ShiftlensError, match="'sw'"):
        load_corpus("demo", ["en", "sw"])
    with pytest.raises(ShiftlensError):
        load_corpus("./demo", ["en"])


def test_an_empty_intersection_is_refused(tmp_path):
    write(tmp_path, {"en.tsv": "a\tone\n", "es.tsv": "b\tdos\n"})
    with pytest.raises(ShiftlensError, match="no sentence is in all of en, es"):
        load_corpus(tmp_path, keep_intersection=True)


def test_malformed_rows_are_refused_even_when_keeping_the_intersection(tmp_path):
    write(tmp_path, {"en.tsv": A + A})
    with pytest.raises(ShiftlensError, match="line 2"):
        load_corpus(tmp_path, keep_intersection=True)


def test_head(tmp_path):
    corpus = load_corpus(write(tmp_path, TXT))
    assert corpus.head(1) == Corpus(("1",), {"en": ("one",), "es": ("uno",)})
    assert corpus.head(9) == corpus
    assert Corpus(("1",), {"en": ("a",)}, {"en": 4}).head(1).dropped == {"en": 4}
    with pytest.raises(ShiftlensError, match="cannot keep 0 sentences"):
        corpus.head(0)


def test_hash_sees_every_change_of_content():
    base = Corpus.from_texts({"en": ["ab", "c"], "es": ["d", "e"]})
    same = Corpus(base.ids, dict(base.texts), {"en": 3})
    assert same.sha256 == base.sha256
    assert len(base.sha256) == 64
    changed = [
        Corpus.from_texts({"en": ["c", "ab"], "es": ["d", "e"]}),
        Corpus.from_texts({"es": ["d", "e"], "en": ["ab", "c"]}),
        Corpus.from_texts({"en": ["a", "bc"], "es": ["d", "e"]}),
        Corpus.from_texts({"en": ["d", "e"], "es": ["ab", "c"]}),
        Corpus.from_texts({"en": ["ab", "c"], "fr": ["d", "e"]}),
        Corpus.from_texts({"en": ["ab", "c"], "es": ["d", "e"]}, ids=["1", "3"]),
        Corpus.from_texts({"en": ['ab", "c', "x"], "es": ["d", "e"]}),
        base.head(1),
    ]
    assert len({base.sha256, *(corpus.sha256 for corpus in changed)}) == len(changed) + 1


@pytest.mark.parametrize(
    ("texts", "ids", "part"),
    [
        ({}, None, "empty"),
        ({"english": ["a"]}, None, "did you mean 'en'?"),
        ({"en": ["a"], "EN": ["b"]}, None, "listed twice"),
        ({"en": []}, None, "no sentences"),
        ({"en": ["a", "b"], "es": ["c"]}, None, "en has 2 sentences but es has 1"),
        ({"en": ["a"], "es": ["\u00a0"]}, None, "sentence 1 of es is empty"),
        ({"en": ["a", "b"]}, ["1"], "2 distinct ids"),
        ({"en": ["a", "b"]}, ["1", "1"], "2 distinct ids"),
    ],
)
def test_texts_in_memory_are_checked(texts, ids, part):
    with pytest.raises(ShiftlensError) as caught:
        Corpus.from_texts(texts, ids)
    assert part in str(caught.value)


def words(forbidden):
    characters = st.characters(exclude_categories=["Cs"], exclude_characters=forbidden)
    stripped = st.text(characters, min_size=1, max_size=12).map(str.strip)
    return stripped.filter(lambda text: text and not text.startswith("\ufeff") and text != "id")


@st.composite
def corpora(draw):
    ids = draw(st.lists(words("\n\t"), min_size=1, max_size=5, unique=True))
    sentences = st.lists(words("\n\t"), min_size=len(ids), max_size=len(ids))
    return Corpus.from_texts({"en": draw(sentences), "es": draw(sentences)}, ids)


def lay_out(corpus):
    files = {}
    table = [["id", *corpus.languages], *zip(corpus.ids, *corpus.texts.values(), strict=True)]
    files["c.tsv"] = "".join("\t".join(row) + "\n" for row in table)
    objects = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    files["c.jsonl"] = "".join(json.dumps(row) + "\n" for row in objects)
    for code, texts in corpus.texts.items():
        pairs = list(zip(corpus.ids, texts, strict=True))
        files[f"tsv/{code}.tsv"] = "".join(f"{name}\t{text}\n" for name, text in pairs)
        rows = [json.dumps({"id": i, "text": t}, ensure_ascii=False) for i, t in pairs]
        files[f"jsonl/{code}.jsonl"] = "\n".join(rows)
        files[f"txt/{code}.txt"] = "\n".join(texts)
    return files


@settings(deadline=None, max_examples=50)
@given(corpora())
def test_round_trip(tmp_path_factory, corpus):
    root = tmp_path_factory.mktemp("corpus")
    for folder in ("tsv", "jsonl", "txt"):
        (root / folder).mkdir()
    write(root, lay_out(corpus))
    for target in ("c.tsv", "c.jsonl", "tsv", "jsonl"):
        loaded = load_corpus(root / target)
        assert loaded == corpus
        assert loaded.sha256 == corpus.sha256
    assert load_corpus(root / "txt").texts == corpus.texts
