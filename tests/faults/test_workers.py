"""A worker lost in training or in a grid of trainings: one line, and nothing done is lost."""

import os
import signal

import pytest
from same_files import contents, differing
from test_before_after import config_of, files, quiet  # noqa: F401
from torch.utils.data import get_worker_info

from shiftlens import experiment, train_task
from shiftlens.errors import ShiftlensError
from shiftlens.experiment import run_grid
from shiftlens.training.arguments import training_arguments


def test_a_lost_loader_of_data_is_one_line_and_the_training_goes_on(
    files,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    def with_worker(config, folder):
        return training_arguments(config, folder, dataloader_num_workers=1)

    monkeypatch.setattr(train_task, "training_arguments", with_worker)
    config = config_of(files, tmp_path / "run", steps=4, save_every=1)
    quiet(config_of(files, tmp_path / "whole", steps=4, save_every=1))
    from shiftlens.training import trainer

    collator = trainer.collator

    def dying(model):
        collate = collator(model)

        def killed(examples):
            assert get_worker_info() is not None
            if (tmp_path / "run" / "checkpoints" / "checkpoint-1").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            return collate(examples)

        return killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "collator", dying)
        with pytest.raises(ShiftlensError, match="a process that loads data died") as told:
            quiet(config)
    assert "goes on from its last checkpoint" in str(told.value)
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-1" / "contrast.json").exists()
    quiet(config)
    assert differing(contents(tmp_path / "run"), contents(tmp_path / "whole")) == []


def _killed(config, file):
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    file.write_text("{}")


def test_a_lost_process_of_a_grid_is_named_and_finished_cells_are_kept(
    files,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr(experiment, "_work", _killed)
    cells = [
        config_of(files, tmp_path, test=str(files / "sft.jsonl"), seed=seed) for seed in (0, 1)
    ]
    with pytest.raises(ShiftlensError, match="was killed or ran out of memory") as told:
        run_grid(cells, tmp_path / "grid", workers=1, progress=False)
    assert "seed 1" in str(told.value) and "seed 0" not in str(told.value)
    assert len(list((tmp_path / "grid").glob("*.json"))) == 1
