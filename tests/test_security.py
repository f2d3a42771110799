"""Nothing that is read can run code, leave its folder, or carry a secret along."""

import ast
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from finished_runs import files, trained  # noqa: F401
from test_before_after import config_of, quiet

import shiftlens
from shiftlens import settings
from shiftlens.cli import main
from shiftlens.collect import collect_states
from shiftlens.config import SweepConfig, to_yaml
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError, without_secrets
from shiftlens.files import file_hashes
from shiftlens.loading import load_model
from shiftlens.shift import Shift
from shiftlens.store import ActivationStore
from shiftlens.training.checkpoints import SAMPLER_FILE, last_checkpoint

TOKEN = "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567"
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "torch.load", "torch.save", "yaml.unsafe_load"),
    *("yaml.full_load", "os.system", "pd.read_pickle", "np.load", "numpy.load"),
}
FORBIDDEN_SWITCHES = {"trust_remote_code", "allow_pickle", "shell"}


def dotted(node):
    """``a.b.c`` of a name in a program; empty for what is none."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(source):
    """What a program does that could run code it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in FORBIDDEN_CALLS or name.endswith(".to_pickle"):
                yield name
            if name == "yaml.load" and dotted(node.args[1]) != "_SettingsLoader":
                yield name
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg in FORBIDDEN_SWITCHES and not off:
                    yield f"{name}({keyword.arg})"


def test_the_package_reads_and_writes_no_pickle_and_runs_no_text():
    found = {
        str(path): list(dangers(path.read_text(encoding="utf-8")))
        for path in Path(shiftlens.__file__).parent.rglob("*.py")
    }
    assert len(found) > 150
    assert {path: names for path, names in found.items() if names} == {}
    assert issubclass(settings._SettingsLoader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from joblib import load", "torch.load(p)", "eval(text)", "exec(text)"),
        *("yaml.load(t, yaml.Loader)", "np.load(p, allow_pickle=True)", "df.to_pickle(p)"),
        *("f(trust_remote_code=True)", "subprocess.run(c, shell=flag)"),
    ],
)
def test_each_danger_would_be_found(source):
    assert list(dangers(source))


class Payload:
    """A pickle that leaves a file when it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def malicious(path, mark, zipped):
    """Write a pickle with a payload, plain or as ``torch.save`` packs it."""
    if zipped:
        torch.save({"state": Payload(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(mark)))


def test_the_payload_would_run(tmp_path):
    for zipped in (True, False):
        malicious(tmp_path / "file", tmp_path / "mark", zipped)
        if zipped:
            torch.load(tmp_path / "file", weights_only=False)
        else:
            pickle.loads((tmp_path / "file").read_bytes())
        assert (tmp_path / "mark").exists()
        (tmp_path / "mark").unlink()


def half_trained(trained, folder):  # noqa: F811
    """A run that is to go on from a checkpoint before its end."""
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("model", "after", "shifted"))
    checkpoint = last_checkpoint(folder / "checkpoints")
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    state["global_step"] -= 1
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    return checkpoint


def sealed(checkpoint):
    """Make the hashes of a checkpoint right, as one who means harm would."""
    state = json.loads((checkpoint / SAMPLER_FILE).read_text())
    state["files"] = file_hashes(checkpoint, SAMPLER_FILE)
    (checkpoint / SAMPLER_FILE).write_text(json.dumps(state))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_malicious_file_of_a_checkpoint_does_not_run(
    files,  # noqa: F811
    trained,  # noqa: F811
    tmp_path,
    name,
    zipped,
):
    checkpoint = half_trained(trained, tmp_path / "run")
    malicious(checkpoint / name, tmp_path / "mark", zipped)
    sealed(checkpoint)
    config = config_of(
        files, tmp_path / "run", test=str(files / "sft.jsonl"), steps=20, save_every=20
    )
    with pytest.raises(ShiftlensError, match=r"checkpoint .* cannot be read"):
        quiet(config)
    assert not (tmp_path / "mark").exists()


def test_malicious_training_arguments_are_not_read(files, trained, tmp_path):  # noqa: F811
    checkpoint = half_trained(trained, tmp_path / "run")
    malicious(checkpoint / "training_args.bin", tmp_path / "mark", True)
    malicious(checkpoint / "pytorch_model.bin", tmp_path / "mark", True)
    sealed(checkpoint)
    config = config_of(files, tmp_path / "run", test=str(files / "sft.jsonl"), steps=20)
    config.save_every = 20
    quiet(config)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_weights_do_not_run(trained, tmp_path, zipped):  # noqa: F811
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    malicious(tmp_path / "model" / "pytorch_model.bin", tmp_path / "mark", zipped)
    with pytest.raises(ShiftlensError, match="cannot load model"):
        load_model(tmp_path / "model", device="cpu")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["llama", "stranger"])
def test_remote_code_is_not_run_and_is_named(trained, tmp_path, kind):  # noqa: F811
    """Of a known architecture the library's own code is taken; any other is refused."""
    folder = tmp_path / "model"
    shutil.copytree(trained / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "C", "AutoModelForCausalLM": "M", "AutoTokenizer": "T"}
    config["auto_map"] = {auto: f"mine.{name}" for auto, name in names.items()}
    config["model_type"] = kind
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["mine.T", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    if kind == "stranger":
        with pytest.raises(ShiftlensError, match="trust_remote_code"):
            load_model(folder, device="cpu")
    else:
        try:
            assert type(load_model(folder, device="cpu").hf).__module__.startswith("transformers.")
        except ShiftlensError as error:
            assert "trust_remote_code" in str(error)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x", ".."]
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path, name):
    manifest = {
        "model": {"sha256": "m", "d_model": 2},
        "corpus": {"sha256": "c", "languages": ["en"], "sentences": 3},
        "layers": [0],
        "pooling": {"special_tokens": False, "skip_first": False},
        "shards": [{"file": name, "language": "en", "rows": 3}],
    }
    ActivationStore.create(tmp_path / "store", manifest)
    with pytest.raises(ShiftlensError, match="describes no store"):
        ActivationStore.open(tmp_path / "store")


def test_a_shard_that_is_a_link_to_elsewhere_is_not_read(llama, tmp_path):
    corpus = Corpus.from_texts({"en": ["a", "b"], "es": ["c", "d"]})
    store = collect_states(llama, corpus, tmp_path / "store", progress=False)
    shard = store.path / store.manifest["shards"][0]["file"]
    shard.rename(tmp_path / "elsewhere.safetensors")
    shard.symlink_to(tmp_path / "elsewhere.safetensors")
    assert "a link to a file elsewhere" in store.verify()[0]
    with pytest.raises(ShiftlensError, match="a link to a file elsewhere"):
        store.states(shard.name[:2], 0)
    (tmp_path / "linked").symlink_to(store.path)
    collect_states(llama, corpus, store.path, progress=False)
    assert ActivationStore.open(tmp_path / "linked").verify() == []


def test_a_language_that_is_a_path_is_no_vector(trained, tmp_path):  # noqa: F811
    """An export writes a file under each language's name."""
    shift = Shift.load(trained / "model")
    vectors = {**shift.vectors.vectors, "../../x": shift.vectors["es"].clone()}
    shutil.copytree(trained / "model", tmp_path / "model")
    type(shift.vectors)(vectors, 3, shift.vectors.pooling).save(
        tmp_path / "model" / "shift.safetensors"
    )
    with pytest.raises(ShiftlensError, match="not named by language codes"):
        Shift.load(tmp_path / "model")


@pytest.mark.parametrize("path", ["..", "/etc", "a/../.."])
def test_a_list_of_parts_that_leaves_the_model_is_refused(tmp_path, path):
    parts = [{"type": "sentence_transformers.models.Transformer", "path": path}]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(ShiftlensError, match="outside the model's folder"):
        load_model(tmp_path / "model")


def test_a_token_of_the_environment_is_written_nowhere(swept, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", TOKEN)
    out = str(tmp_path / "run")
    sweep = ["sweep", "--model", "demo", "--corpus", "demo", "--sentences", "24", "--out", out]
    assert main([*sweep, "--metric", "shifcon", "--device", "cpu"]) == 0
    assert main(["report", out]) == 0
    said = capsys.readouterr()
    texts = [path.read_bytes() for path in Path(out).rglob("*") if path.is_file()]
    assert len(texts) > 10
    assert not any(TOKEN.encode() in text for text in texts)
    assert TOKEN not in said.out + said.err


@pytest.mark.parametrize("value", [f"x/{TOKEN}", f"https://me:{TOKEN}@h/x", "https://me:pw@h/x"])
def test_a_setting_with_a_secret_is_refused_without_repeating_it(tmp_path, capsys, value):
    out = tmp_path / "run"
    assert main(["sweep", "--model", value, "--corpus", "demo", "--out", str(out)]) == 2
    (tmp_path / "s.yaml").write_text(f"model: {value}\ncorpus: demo\nout: {out}\n")
    assert main(["sweep", "--config", str(tmp_path / "s.yaml")]) == 2
    said = capsys.readouterr()
    assert "HF_TOKEN" in said.err and TOKEN not in said.err + said.out and "pw@" not in said.err
    assert not out.exists()
    written = to_yaml(SweepConfig(value, "demo", str(out))) + str(ShiftlensError(f"no {value}"))
    assert TOKEN not in written and ":pw" not in written and "***" in written


@pytest.mark.parametrize("path", ["./hf_checkpoints/llama", "hf_converted", "my_hf_pretrained"])
def test_a_path_that_begins_like_a_token_is_none(path):
    assert without_secrets(path) == path
