"""A finished training of a tiny model, and copies of run folders to spoil."""

import shutil

import pytest
from test_before_after import config_of, files, quiet  # noqa: F401


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):  # noqa: F811
    """The folder of a finished ShifCon training with a test, for reading only."""
    out = tmp_path_factory.mktemp("trained") / "run"
    quiet(config_of(files, out, test=str(files / "sft.jsonl"), steps=20, save_every=20))
    return out


def copied(run, folder, **texts):
    """A copy of a run folder, with words of its settings changed."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints", "*.html"))
    config = (folder / "config.yaml").read_text()
    for old, new in texts.values():
        assert old in config
        config = config.replace(old, new)
    (folder / "config.yaml").write_text(config)
    return folder
