import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_runs import save_model, sentences, write_corpus

import shiftlens
from shiftlens import __version__
from shiftlens.check import TOLERANCE
from shiftlens.cli import COMMANDS, main
from shiftlens.config import SweepConfig, TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.geometry import METRICS, REQUIREMENTS
from shiftlens.settings import preset_path, yaml_arguments
from shiftlens.store import ActivationStore

SCRIPT = Path(sys.executable).with_name("shiftlens")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a model, a corpus, and what can be wrong with either."""
    folder = tmp_path_factory.mktemp("home")
    save_model(folder / "model")
    write_corpus(folder / "corpus")
    (folder / "no config").mkdir()
    broken = save_model(folder / "broken config")
    (broken / "config.json").write_text("{")
    bare = save_model(folder / "no weights")
    (bare / "model.safetensors").unlink()
    (folder / "empty").mkdir()
    (folder / "empty files").mkdir()
    for name in ("en.txt", "es.txt"):
        (folder / "empty files" / name).touch()
    write_corpus(folder / "only en", ["en"])
    uneven = write_corpus(folder / "uneven")
    (uneven / "es.txt").write_text("\n".join(sentences("es")[:20]) + "\n")
    hole = write_corpus(folder / "hole")
    lines = sentences("es")
    (hole / "es.txt").write_text("\n".join([*lines[:4], "", *lines[5:]]) + "\n")
    binary = write_corpus(folder / "binary")
    (binary / "fi.txt").write_bytes(b"yksi\nkaksi\n\xff\xfe\n")
    (folder / "file").write_text("in the way")
    return folder


@pytest.fixture(scope="module")
def run(home):
    """A finished run, for reading only."""
    assert main(sweep_command(home, home / "run")) == 0
    return home / "run"


def sweep_command(home, out, **changes):
    options = {"model": home / "model", "corpus": home / "corpus", "out": out, "device": "cpu"}
    options = {**options, **changes}
    return ["sweep", *(str(part) for key in options for part in (f"--{key}", options[key]))]


def refusal(arguments, capfd):
    """The one line that a command which cannot be done leaves on stderr."""
    capfd.readouterr()
    assert main(arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("shiftlens: ")
    return lines[0].removeprefix("shiftlens: ")


def raising(error):
    raise error


MISTAKES = [
    ("no such model directory", {"model": "HOME/nowhere"}, ["model directory", "HOME/nowhere"]),
    ("a model that no hub has", {"model": "nobody/nothing"}, ["model 'nobody/nothing'"]),
    ("a model without config", {"model": "HOME/no config"}, ["HOME/no config", "config.json"]),
    ("a broken config", {"model": "HOME/broken config"}, ["HOME/broken config"]),
    ("a model without weights", {"model": "HOME/no weights"}, ["HOME/no weights"]),
    ("an unknown dtype", {"dtype": "int3"}, ["dtype 'int3'", "bfloat16"]),
    ("an unknown device", {"device": "abacus"}, ["device 'abacus'"]),
    ("no such corpus", {"corpus": "HOME/nowhere"}, ["HOME/nowhere: no such file or folder"]),
    ("an empty corpus folder", {"corpus": "HOME/empty"}, ["HOME/empty: no file such as en.txt"]),
    (
        "a corpus of empty files",
        {"corpus": "HOME/empty files"},
        ["en.txt: the file is empty"],
    ),
    ("one language in the corpus", {"corpus": "HOME/only en"}, ["'en' and at least one more"]),
    ("one language asked for", {"languages": "en"}, ["'en' and at least one more"]),
    ("an unknown metric", {"metric": "euclid"}, ["metric 'euclid'", *METRICS]),
    ("an unknown metric behind a known", {"metric": "shifcon,euclid"}, ["metric 'euclid'"]),
    ("an unknown shrinkage", {"shrinkage": "lasso"}, ["shrinkage: 'lasso'", "ledoit-wolf"]),
    ("a shrinkage above 1", {"shrinkage": "2"}, ["shrinkage: 2.0", "[0, 1]"]),
    (
        "the dominant language left out",
        {"languages": "es,fi"},
        ["dominant language 'en'", "es, fi"],
    ),
    ("a dominant without sentences", {"dominant": "de"}, ["dominant language 'de'", "en, es, fi"]),
    ("a language without file", {"languages": "en,de"}, ["no language 'de'", "HOME/corpus"]),
    ("a language twice", {"languages": "en,es,en"}, ["'en' is listed twice"]),
    ("a code that is no language", {"languages": "en,qqz9"}, ["'qqz9' is not a BCP-47"]),
    ("a name for a code", {"languages": "en,Spanish"}, ["'Spanish'", "did you mean 'es'?"]),
    ("a dominant that is no code", {"dominant": "e n"}, ["'e n' is not a BCP-47"]),
    ("unequal lines", {"corpus": "HOME/uneven"}, ["en.txt has 24 lines", "es.txt has 20"]),
    ("an empty line", {"corpus": "HOME/hole"}, ["HOME/hole/es.txt, line 5"]),
    ("invalid UTF-8", {"corpus": "HOME/binary"}, ["HOME/binary/fi.txt, line 3: not UTF-8"]),
    ("a share above 1", {"share": "30"}, ["share of layers", "30"]),
    ("a negative seed", {"seed": "-1"}, ["seed", "-1"]),
    ("too few sentences", {"sentences": "3"}, ["3 sentences cannot be cut in 2"]),
    ("no sentences", {"sentences": "0"}, ["cannot keep 0 sentences"]),
]


@pytest.mark.parametrize(
    ("changes", "named"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_one_line_that_names_it_and_leaves_nothing(
    home, tmp_path, capfd, changes, named
):
    changes = {key: value.replace("HOME", str(home)) for key, value in changes.items()}
    line = refusal(sweep_command(home, tmp_path / "out", **changes), capfd)
    for part in named:
        assert part.replace("HOME", str(home)) in line
    assert not (tmp_path / "out").exists()


def test_a_process_of_its_own_prints_one_line_for_each_mistake_with_the_model(home, tmp_path):
    """Libraries that log to the stderr they found when imported are heard here."""
    models = ["nobody/nothing", "no config", "broken config", "no weights", "nowhere"]
    code = "import sys, shiftlens.cli as c; print([c.main(m.split('|')) for m in sys.argv[1:]])"
    paths = [models[0], *(home / name for name in models[1:])]
    commands = ["|".join(sweep_command(home, tmp_path / "out", model=path)) for path in paths]
    done = subprocess.run(
        [sys.executable, "-c", code, *commands],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.stdout.split("\n")[-2] == "[2, 2, 2, 2, 2]"
    lines = done.stderr.splitlines()
    assert len(lines) == 5, done.stderr
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith("shiftlens: ")
        assert str(path) in line
    assert not (tmp_path / "out").exists()


def test_an_out_below_a_file_is_refused(home, capfd):
    out = home / "file" / "run"
    assert str(out) in refusal(sweep_command(home, out), capfd)
    assert (home / "file").read_text() == "in the way"


def test_an_out_that_is_a_file_is_refused(home, capfd):
    assert str(home / "file") in refusal(sweep_command(home, home / "file"), capfd)
    assert (home / "file").read_text() == "in the way"


def test_a_folder_that_cannot_be_written_to_is_refused(home, tmp_path, capfd, monkeypatch):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    if os.access(out, os.W_OK):  # the superuser may write anywhere: take that right away
        access = os.access
        monkeypatch.setattr(
            os, "access", lambda path, mode: Path(path) != out and access(path, mode)
        )
    line = refusal(sweep_command(home, out), capfd)
    assert f"cannot write to folder {out}: permission denied" in line
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(home, tmp_path, capfd, monkeypatch):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):  # the superuser again
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        monkeypatch.setattr(Path, "mkdir", lambda path, **_: raising(denied))
    line = refusal(sweep_command(home, tmp_path / "out"), capfd)
    assert f"cannot write to folder {tmp_path / 'out'}" in line
    assert not (tmp_path / "out").exists()


def test_a_singular_covariance_leaves_sound_states_and_no_results(home, tmp_path, capfd):
    line = refusal(sweep_command(home, tmp_path / "out", shrinkage="0"), capfd)
    assert "language en, layer 0 (n = 12, d = 32, rank 11): covariance is singular: n = 12" in line
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left - {"activations.lock", "run.lock"} == {"activations"}
    assert ActivationStore.open(tmp_path / "out" / "activations").verify() == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model: m\nshrinkaeg: oas\n", ["unknown setting 'shrinkaeg'", "shrinkage"]),
        ("model: [\n", ["is not YAML"]),
        ("a: b: c\n", ["is not YAML"]),
        ("- model\n- corpus\n", ["is not a mapping"]),
        ("", ["is not a mapping"]),
        (b"model: \xff\n", ["is not YAML"]),
        ("skip_first: 3\n", ["skip_first takes true or false, not 3"]),
        ("share: true\n", ["share takes a value, not True"]),
        (None, ["cannot read settings file"]),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_settings_file_that_is_wrong_is_one_line(tmp_path, capfd, text, named, joined):
    path = tmp_path / "settings.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    option = [f"--config={path}"] if joined else ["--config", str(path)]
    line = refusal(["sweep", *option, "--out", str(tmp_path / "out")], capfd)
    for part in [str(path), *named]:
        assert part in line
    assert not (tmp_path / "out").exists()


def test_config_without_a_path_is_one_line(capfd):
    assert "--config takes the path of a YAML file" in refusal(["sweep", "--config"], capfd)


def test_a_settings_file_says_what_the_command_line_would(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        "languages: [en, no, fi]\ndominant: no\nskip-first: true\nspecial_tokens: false\n"
        "share: 0.25\nsentences: null\nseed: 7\n"
    )
    expected = (
        "--languages en,no,fi --dominant no --skip-first --no-special-tokens --share 0.25 --seed 7"
    )
    assert yaml_arguments(path) == expected.split()


def test_an_unknown_setting_of_another_command_is_told_by_its_own_settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("metric: shifcon\n")
    assert yaml_arguments(path, SweepConfig) == ["--metric", "shifcon"]
    with pytest.raises(ShiftlensError, match="unknown setting 'metric'; known: run"):
        yaml_arguments(path, COMMANDS["verify"][0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sweep", "--model", "m", "--corpus", "c", "--out", "o", "--colour", "red"], "--colour"),
        (["sweep", "--corpus", "c", "--out", "o"], "--model"),
        (["sweep", "--model", "m", "--corpus", "c", "--out", "o", "--share", "third"], "third"),
        (["verify"], "RUN"),
        (["metrics", "--all"], "--all"),
    ],
)
def test_options_that_the_parser_refuses_exit_with_2(capfd, arguments, named):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert named in capfd.readouterr().err


def test_an_unknown_command_is_one_line_that_lists_the_commands(capfd):
    line = refusal(["swep"], capfd)
    assert "no command 'swep'" in line
    assert all(name in line for name in COMMANDS)


def processor_time():
    """Seconds that finished subprocesses took, however busy the machine was beside them."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize(
    "command", [[str(SCRIPT)], [sys.executable, "-m", "shiftlens"]], ids=["script", "module"]
)
def test_help_lists_every_command_and_answers_in_half_a_second(command):
    times = []
    for _ in range(3):
        before = processor_time()
        done = subprocess.run([*command, "--help"], capture_output=True, text=True)
        times.append(processor_time() - before)
        assert done.returncode == 0
        assert done.stderr == ""
    for name in COMMANDS:
        assert any(line.startswith(f"  {name} ") for line in done.stdout.splitlines()), name
    assert "shiftlens sweep --model" in done.stdout
    assert 0 < min(times) < 0.5


def test_no_arguments_and_h_answer_as_help_does(capfd):
    answers = set()
    for arguments in ([], ["-h"], ["--help"]):
        assert main(arguments) == 0
        answers.add(capfd.readouterr().out)
    assert len(answers) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_an_example(capfd, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code in (0, None)
    shown = capfd.readouterr().out
    _, _, example = shown.partition("Example")
    assert f"shiftlens {command}" in example


def test_version_is_that_of_the_package(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"shiftlens {__version__}\n"
    assert shiftlens.__version__ == __version__


def test_verify_counts_the_shards_of_a_sound_run(run, capfd):
    capfd.readouterr()
    assert main(["verify", str(run)]) == 0
    assert capfd.readouterr().out == "3 shards are whole and match their hashes\n"


@pytest.mark.parametrize("damage", ["flipped bit", "missing", "cut short"])
def test_verify_names_the_damaged_shard(home, tmp_path, capfd, damage):
    main(sweep_command(home, tmp_path / "run"))
    shard = tmp_path / "run" / "activations" / "es-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(content if damage == "flipped bit" else content[:-100])
    capfd.readouterr()
    assert main(["verify", str(tmp_path / "run")]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 1
    assert str(shard) in lines[0]


def test_verify_of_a_folder_without_run_is_one_line(tmp_path, capfd):
    assert str(tmp_path) in refusal(["verify", str(tmp_path)], capfd)


def test_check_passes_on_a_tiny_llama_and_prints_every_layer(home, capfd):
    assert main(["check", str(home / "model"), "--device", "cpu"]) == 0
    shown = capfd.readouterr().out
    rows = [line.split()[0] for line in shown.splitlines()]
    assert rows[-6:] == ["0", "1", "2", "3", "logits", "passed"]


def test_check_fails_where_the_figures_are_too_large(home, capfd, monkeypatch):
    monkeypatch.setattr("shiftlens.check.TOLERANCE", dict.fromkeys(TOLERANCE, 0.0))
    assert main(["check", str(home / "model"), "--device", "cpu"]) == 1
    assert capfd.readouterr().out.splitlines()[-1].startswith("FAILED")


def test_check_of_no_model_is_one_line(home, capfd):
    assert str(home / "nowhere") in refusal(["check", str(home / "nowhere")], capfd)


def test_metrics_are_listed_one_a_line_with_what_each_requires(capfd):
    assert main(["metrics"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS)
    for line, metric in zip(lines, METRICS.values(), strict=True):
        assert metric.description in line
        assert line.endswith(f"[{metric.kind}; requires {REQUIREMENTS[metric.requires]}]")


def test_an_interruption_exits_with_130_and_says_how_to_go_on(capfd, monkeypatch):
    monkeypatch.setattr("shiftlens.runs.run_sweep", lambda _: raising(KeyboardInterrupt))
    assert main(["sweep", "--model", "m", "--corpus", "demo", "--out", "o"]) == 130
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["shiftlens: interrupted; the same command goes on where it was"]


def test_a_message_of_several_lines_is_printed_as_one(capfd, monkeypatch):
    error = ShiftlensError("one\ntwo")
    monkeypatch.setattr("shiftlens.runs.run_sweep", lambda _: raising(error))
    arguments = ["sweep", "--model", "m", "--corpus", "demo", "--out", "o"]
    assert refusal(arguments, capfd) == "one two"


PAPER = {
    "arm": "shifcon",
    "area": "auto",
    "w_gen": 0.5,
    "w_con": 2.0,
    "temperature": 1.0,
    "pairs": 12,
    "steps": 0,
    "epochs": 1.0,
    "batch_size": 56,
    "learning_rate": 1e-5,
    "warmup": 0.01,
    "dtype": "bfloat16",
}
DEMO = {
    "model": "demo",
    "sft": "demo:train",
    "parallel": "demo",
    "area": "2-5",
    "w_con": 1.0,
    "pairs": 16,
    "reestimate": 100,
    "vector_sentences": 128,
    "steps": 300,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "warmup": 0.05,
    "save_every": 100,
}


def configured(arguments, monkeypatch):
    """The settings that `shiftlens train` would run with."""
    seen = []
    monkeypatch.setattr("shiftlens.train.run_train", seen.append)
    monkeypatch.setattr("shiftlens.asked.check_asked", lambda config: None)
    assert main(["train", *arguments]) == 0
    return seen[0]


@pytest.mark.parametrize(("name", "values"), [("paper", PAPER), ("demo", DEMO)])
@pytest.mark.parametrize("joined", [False, True])
def test_a_preset_is_exactly_its_values_and_the_defaults(monkeypatch, name, values, joined):
    given = {"model": "m", "sft": "s.jsonl", "parallel": "p", "out": "o"}
    given = {key: value for key, value in given.items() if key not in values}
    preset = [f"--preset={name}"] if joined else ["--preset", name]
    options = [part for key, value in given.items() for part in (f"--{key}", value)]
    assert configured([*preset, *options], monkeypatch) == TrainConfig(**given, **values)
    by_file = configured(["--config", str(preset_path(name)), *options], monkeypatch)
    assert by_file == TrainConfig(**given, **values)


def test_what_follows_a_preset_wins(monkeypatch):
    config = configured(["--preset", "demo", "--out", "o", "--steps", "7"], monkeypatch)
    assert config.steps == 7


def test_the_papers_preset_says_first_that_it_was_never_run():
    first, *_ = preset_path("paper").read_text().splitlines()
    assert first.startswith("#") and "never run here" in first


def test_an_unknown_preset_is_one_line(capfd):
    line = refusal(["train", "--preset", "papper", "--out", "o"], capfd)
    assert "unknown preset 'papper'; choose from demo, paper" in line
    assert "--preset takes the name of a preset" in refusal(["train", "--preset"], capfd)


def test_plot_prints_each_file_and_what_is_left_out(run, tmp_path, capfd):
    out = tmp_path / "paper"
    command = ["plot", str(run), "--format", "svg", "--no-pages", "--out", str(out)]
    assert main(command) == 0
    lines = capfd.readouterr().out.splitlines()
    drawn = [str(path) for path in sorted(out.iterdir())]
    assert sorted(line for line in lines if line.startswith(str(out))) == drawn
    assert [Path(name).name for name in drawn] == [
        "geometry.svg",
        "layer_distance.svg",
        "pairs.svg",
    ]
    assert [line.partition(":")[0] for line in lines if line not in drawn] == ["left out alignment"]


def test_plot_takes_names_and_a_metric(run, tmp_path, capfd):
    only = ["--only", "layer_distance, pairs", "--metric", "shifcon", "--format", "pdf"]
    assert main(["plot", str(run), *only, "--no-pages", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"layer_distance.pdf", "pairs.pdf"}
    line = refusal(["plot", str(run), "--only", "pears"], capfd)
    assert "no figure 'pears'" in line and "layer_distance" in line


def test_report_writes_a_page_into_the_run_folder_or_where_it_is_told(run, tmp_path, capfd):
    capfd.readouterr()
    assert main(["report", str(run)]) == 0
    assert capfd.readouterr().out == f"{run / 'report.html'}\n"
    assert main(["report", str(run), "--out", str(tmp_path / "a" / "b.html")]) == 0
    assert (tmp_path / "a" / "b.html").read_bytes() == (run / "report.html").read_bytes()


def test_compare_prints_what_differs_and_writes_a_page(home, run, tmp_path, capfd, monkeypatch):
    main(sweep_command(home, tmp_path / "oas", shrinkage="oas"))
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()
    assert main(["compare", str(run), str(tmp_path / "oas")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "  shrinkage  ledoit-wolf  oas" in lines and lines[-1] == "compare-run-oas.html"
    assert (tmp_path / "compare-run-oas.html").stat().st_size < 12e6


@pytest.mark.parametrize(
    "command", [["plot", "X"], ["report", "X"], ["compare", "X", "X"]], ids=lambda c: c[0]
)
def test_reading_a_folder_that_is_no_run_is_one_line(tmp_path, capfd, command):
    there = [str(tmp_path) if word == "X" else word for word in command]
    assert f"{tmp_path} is no run folder" in refusal(there, capfd)
    nowhere = [str(tmp_path / "no") if word == "X" else word for word in command]
    assert "does not exist" in refusal(nowhere, capfd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stdout_too", [True, False])
def test_only_a_broken_pipe_of_what_is_printed_means_that_nobody_reads(monkeypatch, stdout_too):
    read, write = os.pipe()
    if stdout_too:
        os.close(read)

    def elsewhere():
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with open(write, "w") as printed:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", printed)
        monkeypatch.setitem(COMMANDS, "metrics", (None, elsewhere))
        if stdout_too:
            assert main(["metrics"]) == 141
        else:
            with pytest.raises(BrokenPipeError):
                main(["metrics"])
            os.close(read)
