"""Every loader with valid files to spoil, and every check of the page."""

import copy
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from fuzz_mutations import any_text, any_value, spoil_bytes, spoil_lines, spoil_tree
from fuzz_run import Target
from safetensors.numpy import save

from shiftlens.app.links import link, read_link
from shiftlens.benchmarks import benchmark_rows
from shiftlens.cli import main
from shiftlens.config import SweepConfig, TrainConfig, to_yaml
from shiftlens.corpora import load_corpus
from shiftlens.folders.opening import open_run_folder
from shiftlens.folders.runs import DemoFolder
from shiftlens.language_vectors import LanguageVectors
from shiftlens.pooling import Pooling
from shiftlens.reports.cautions import cautions
from shiftlens.reports.compare import compare_runs
from shiftlens.reports.compare_page import comparison_text
from shiftlens.sentence_labels import read_labels
from shiftlens.settings import read_settings, yaml_arguments
from shiftlens.sft import load_records
from shiftlens.shift import Shift
from shiftlens.store import MANIFEST, ActivationStore

Seal = Callable[[bytes], bytes]
TEXTS = {
    "en": ["One cat sat.", "Two dogs ran away.", "Three", "It rained; nobody minded."],
    "es": ["Un gato.", "Dos perros se fueron.", "Tres", "Llovía y a nadie le importó."],
    "sw": ["Paka mmoja.", "Mbwa wawili walikimbia.", "Tatu", "Mvua ilinyesha."],
}


def spoil(name: str, data: bytes, rng: random.Random) -> bytes:
    """Spoil a file: its bytes, or its tree where it is JSON or YAML."""
    if rng.random() < 0.5 or not name.endswith((".json", ".jsonl", ".yaml")):
        return spoil_bytes(data, rng)
    if name.endswith(".jsonl"):
        return spoil_lines(data, rng, spoil_tree)
    if name.endswith(".yaml"):
        tree = spoil_tree(yaml.safe_load(data), rng)
        try:
            return yaml.safe_dump(tree).encode(errors="surrogatepass")
        except (RecursionError, yaml.YAMLError):
            return json.dumps(tree).encode()
    return json.dumps(spoil_tree(json.loads(data), rng)).encode()


def of_files(
    name: str,
    folder: Path,
    load: Callable[[Path], Any],
    names: list[str] | None = None,
    seal: Seal | None = None,
    weight: float = 1.0,
    check: bool = True,
) -> Target:
    """A loader of a folder, one of whose files is spoiled at a time.

    Args:
        name: What the counts call it.
        folder: The valid files.
        load: Loads the folder.
        names: The files to spoil; all by default.
        seal: Makes the hash of a spoiled file right again, as one who means harm would.
        weight: How many inputs it gets for one of the others.
    """
    valid = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    names = names or sorted(valid)
    if check:
        load(folder)

    def offer(rng: random.Random) -> Callable[[], Any]:
        chosen = rng.choice(names)
        data = spoil(chosen, valid[chosen], rng)
        if seal is not None and rng.random() < 0.7:
            data = seal(data)
        return lambda: loaded(chosen, data)

    def loaded(chosen: str, data: bytes) -> None:
        (folder / chosen).write_bytes(data)
        try:
            load(folder)
        finally:
            (folder / chosen).write_bytes(valid[chosen])

    return Target(name, offer, weight)


def write(folder: Path, files: dict[str, str | list[Any]]) -> Path:
    """Write files: texts as they are, lists as JSON lines."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        path.write_text(content, encoding="utf-8")
    return folder


def corpora(root: Path) -> list[Target]:
    """Every layout of parallel text."""
    n = range(len(TEXTS["en"]))
    rows = [{"id": f"s{i}", **{code: TEXTS[code][i] for code in TEXTS}} for i in n]
    table = "\n".join("\t".join(row.values()) for row in rows)
    layouts: dict[str, dict[str, Any]] = {
        "txt": {f"{code}.txt": "\n".join(lines) + "\n" for code, lines in TEXTS.items()},
        "tsv": {
            f"{code}.tsv": "".join(f"s{i}\t{lines[i]}\n" for i in n)
            for code, lines in TEXTS.items()
        },
        "jsonl": {
            f"{code}.jsonl": [{"id": f"s{i}", "text": lines[i]} for i in n]
            for code, lines in TEXTS.items()
        },
        "table.tsv": {"table.tsv": "id\ten\tes\tsw\n" + table + "\n"},
        "table.jsonl": {"table.jsonl": rows},
    }
    targets = []
    for name, files in layouts.items():
        folder = write(root / f"corpus-{name}", files)
        path = name if name.startswith("table") else "."

        def load(place: Path, path: str = path) -> None:
            for keep in (False, True):
                load_corpus(place / path, keep_intersection=keep).sha256

        targets.append(of_files(f"corpus {name}", folder, load))
    return targets


def benchmarks(root: Path) -> list[Target]:
    """MGSM and XCOPA, as records and as parallel text."""
    mgsm = {f"mgsm_{code}.tsv": "How many?\t12\nAnd now?\t1,250\n" for code in ("en", "sw")}
    item = {"choice1": "It rained.", "choice2": "I left.", "question": "cause", "label": 0}
    xcopa = {
        f"{code}/val.{code}.jsonl": [
            {"premise": f"{code} {i}.", **item, "idx": i, "changed": False} for i in range(3)
        ]
        for code in ("en", "sw", "tr")
    }

    def load(folder: Path) -> None:
        list(benchmark_rows(folder))
        load_records(folder)
        load_corpus(folder)

    return [
        of_files("MGSM", write(root / "mgsm", mgsm), load),
        of_files("XCOPA", write(root / "xcopa", xcopa), load),
    ]


def records(root: Path) -> list[Target]:
    """Instruction records, chats, and labels of sentences."""
    plain = [
        {"id": f"r{i}", "language": "es", "prompt": "2 y 2", "completion": " 4", "choices": [" 4"]}
        for i in range(4)
    ]
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    chats = [{"language": "en", "messages": turns} for _ in range(3)]
    ids = ["a", "b", "c"]
    labels: dict[str, Any] = {
        "by.txt": "x\ny\nx\n",
        "by.tsv": "a\tx\nb\ty\nc\tx\n",
        "by.jsonl": [{"id": name, "label": "x"} for name in ids],
    }

    def load(folder: Path) -> None:
        load_records(folder / "data.jsonl")

    targets = [
        of_files("SFT records", write(root / "records", {"data.jsonl": plain}), load),
        of_files("SFT chats", write(root / "chats", {"data.jsonl": chats}), load),
    ]
    for name, content in labels.items():
        folder = write(root / f"labels-{name}", {name: content})
        targets.append(
            of_files(
                f"labels {Path(name).suffix}",
                folder,
                lambda place, name=name: read_labels(place / name, ids),
                weight=0.5,
            )
        )
    return targets


def settings(root: Path) -> list[Target]:
    """Settings files, read alone and by the command line (whose run has no model to load)."""
    sweep = SweepConfig("no-model", "no-corpus", "no-out", languages="en,es", sentences=5)
    train = TrainConfig("no-model", "no-sft", "no-parallel", "no-out")
    folder = write(root / "sweep-settings", {"config.yaml": to_yaml(sweep)})
    other = write(root / "train-settings", {"config.yaml": to_yaml(train)})

    def read(place: Path) -> None:
        read_settings(place / "config.yaml")
        yaml_arguments(place / "config.yaml")

    def command(place: Path) -> None:
        raise SystemExit(main(["train", "--config", str(place / "config.yaml")]))

    return [
        of_files("settings", folder, read),
        of_files("settings, by the command line", other, command, weight=0.25, check=False),
    ]


WIDTH, SENTENCES = 4, 5


def a_store(folder: Path) -> tuple[ActivationStore, dict[tuple[str, int], np.ndarray]]:
    """A small store and what is in it."""
    shards = {"en-00000": [4, 0, 2], "en-00001": [1, 3], "es-00000": [0, 1, 2, 3, 4]}
    store = ActivationStore.create(
        folder,
        {
            "model": {"sha256": "m", "d_model": WIDTH, "n_layers": 2, "dtype": "float32"},
            "corpus": {"sha256": "c", "languages": ["en", "es"], "sentences": SENTENCES},
            "layers": [0, 1, 2],
            "pooling": {"special_tokens": False, "skip_first": False},
            "tokens": {code: {"median": 3} for code in ("en", "es")},
            "shards": [
                {"file": f"{name}.safetensors", "language": name[:2], "rows": len(rows)}
                for name, rows in shards.items()
            ],
        },
    )
    rng = np.random.default_rng(0)
    states = {code: rng.normal(size=(SENTENCES, 3, WIDTH)).astype("f4") for code in ("en", "es")}
    for name, rows in shards.items():
        store.write(f"{name}.safetensors", np.array(rows), states[name[:2]][rows])
    return store, {(code, k): states[code][:, k] for code in states for k in range(3)}


def seal_manifest(data: bytes) -> bytes:
    """Give a spoiled manifest the hash that fits it."""
    try:
        tree = json.loads(data)
        tree.pop("sha256", None)
        digest = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
        return json.dumps({**tree, "sha256": digest}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return data


def stores(root: Path) -> list[Target]:
    """Manifest and shards: an input that is accepted has the states that were stored."""
    _, expected = a_store(root / "store")
    _, _ = a_store(root / "forged")

    def load(folder: Path) -> None:
        store = ActivationStore.open(folder)
        store.missing()
        problems = store.verify()
        for (language, layer), states in expected.items():
            got = store.states(language, layer)
            assert np.array_equal(got, states), "other states, in silence"
        assert not problems or not all("shard" in problem for problem in problems)

    def forged(folder: Path) -> None:
        store = ActivationStore.open(folder)
        store.missing()
        store.verify()
        for language in store.languages:
            for layer in store.layers:
                states = store.states(language, layer)
                assert states.shape == (store.n_sentences, store.manifest["model"]["d_model"])
        LanguageVectors.from_store(store)

    return [
        of_files("store", root / "store", load, weight=2),
        of_files("forged manifest", root / "forged", forged, [MANIFEST], seal_manifest),
    ]


def shifts(root: Path) -> list[Target]:
    """The two files of a shift; and its tensors exchanged for others in a sound file."""
    generator = torch.Generator().manual_seed(0)
    vectors = {code: torch.randn(4, WIDTH, generator=generator) for code in ("en", "es", "fi")}
    shift = Shift(LanguageVectors(vectors, 5, Pooling()), (1, 2))
    for name in ("shift", "forged-shift"):
        (root / name).mkdir()
        shift.save(root / name)

    def load(folder: Path) -> Shift:
        found = Shift.load(folder)
        found.action(list(found.vectors.vectors))
        for code in found.vectors.vectors:
            for layer in found.area:
                found.delta(code, layer)
        return found

    def unchanged(folder: Path) -> None:
        found = load(folder).vectors.vectors
        for code, vector in vectors.items():
            assert torch.equal(found[code], vector), "other vectors, in silence"

    return [
        of_files("shift", root / "shift", load, ["shift.json"]),
        of_files("shift's vectors", root / "shift", unchanged, ["shift.safetensors"]),
        of_files(
            "forged vectors", root / "forged-shift", load, ["shift.safetensors"], forge_tensors, 0.5
        ),
    ]


def forge_tensors(data: bytes) -> bytes:
    """A sound file with other tensors, chosen by what it was spoiled to."""
    rng = random.Random(hashlib.sha256(data).digest())
    shapes = ((), (0,), (4,), (4, WIDTH), (3, WIDTH), (4, WIDTH, 1), (4, 0))
    kinds = (np.float32, np.float64, np.int8, np.bool_, np.float16)
    tensors = {
        code: np.full(rng.choice(shapes), rng.choice((0, 1)), rng.choice(kinds))
        for code in rng.sample(["en", "es", "fi", "x" * 300, ""], rng.randint(0, 4))
    }
    header = spoil_tree({"n": 5, "pooling": {"special_tokens": False, "skip_first": False}}, rng)
    return save(tensors, metadata={"shiftlens": json.dumps(header)})


def run_folders(root: Path, swept: Path, trained: Path) -> list[Target]:
    """Folders of a finished sweep and training, opened and compared as reports do it."""

    def load(folder: Path) -> None:
        run = open_run_folder(folder)
        assert not isinstance(run, DemoFolder)
        len(run.corpus)
        cautions(run)
        comparison_text(compare_runs(run, run))

    targets = []
    for kind, run, stage in (("sweep", swept, "."), ("training", trained, "before")):
        folder = root / f"run-{kind}"
        shutil.copytree(
            run, folder, ignore=shutil.ignore_patterns("*.html", "checkpoints", "model")
        )
        small = [
            str(file.relative_to(folder))
            for file in folder.rglob("*")
            if file.suffix in (".yaml", ".json", ".csv", ".parquet")
            and file.stem != "sweep.parquet"
        ]
        manifest = str(Path(stage) / "activations" / MANIFEST)
        targets += [
            of_files(f"run of a {kind}", folder, load, small, weight=0.5),
            of_files(
                f"forged run of a {kind}", folder, load, [manifest], seal_manifest, weight=0.1
            ),
        ]
    return targets


def page_inputs() -> list[Target]:
    """Links, and what each view of the page can be sent."""
    from fuzz_page import page_checks, page_fields

    views = page_fields()
    good = [
        link("shift", {"item": "own", "language": "es", "text": "hola", "a": 2, "b": 4}),
        link("sweep", {"metric": "mexa", "layer": 3, "sentence": 7}),
        link("patch", {"clean": "a", "corrupt": "b", "answers": "x\ny", "cell": "1.2"}),
        link("lens", {"text": "a"}),
    ]

    def offer_link(rng: random.Random) -> Callable[[], Any]:
        if rng.random() < 0.5:
            query = spoil_bytes(rng.choice(good).encode(), rng).decode(errors="surrogateescape")
        else:
            view = rng.choice(list(views))
            names = [*views[view], any_text(rng)]
            chosen = rng.sample(names, rng.randint(0, min(3, len(names))))
            query = "?view=" + view + "".join(f"&{name}={any_text(rng)}" for name in chosen)
        return lambda: read_link(query, views)

    targets = [Target("links", offer_link, 2)]
    for name, (check, valid) in page_checks().items():

        def offer(
            rng: random.Random, check: Callable[..., Any] = check, valid: list[Any] = valid
        ) -> Callable[[], Any]:
            sent = copy.deepcopy(valid)
            for _ in range(rng.randint(1, 2)):
                sent[rng.randrange(len(sent))] = any_value(rng)
            return lambda: check(*sent)

        targets.append(Target(f"page: {name}", offer))
    return targets


def all_targets(root: Path, swept: Path, trained: Path) -> list[Target]:
    """Every loader."""
    return [
        *corpora(root),
        *benchmarks(root),
        *records(root),
        *settings(root),
        *stores(root),
        *shifts(root),
        *run_folders(root, swept, trained),
        *page_inputs(),
    ]
