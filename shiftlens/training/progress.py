"""How far a training is: a bar on a terminal, and where there is none a line a tenth of the way."""

from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm
from transformers import TrainerCallback

NAMES = {"loss": "loss", "loss_lm": "language model", "loss_pairs": "pairs"}
"""The columns of a log that a person reads, and what they are called."""


class LossBar(TrainerCallback):
    """Shows the steps and the losses of the last row of the log."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the bar, where a training goes on at its step, which is said."""
        if state.global_step and state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            print(f"goes on from step {state.global_step} of {state.max_steps}: {checkpoint}")
        off = None if state.is_world_process_zero else True
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            unit="steps",
            desc="train",
            disable=off,
        )
        self.said = 10 * state.global_step // max(state.max_steps, 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a step."""
        self.bar.update()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the losses of a row of the log."""
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs or not state.is_world_process_zero:
            return
        losses = ", ".join(f"{NAMES[name]} {logs[name]:.4g}" for name in NAMES if name in logs)
        tenth = 10 * state.global_step // state.max_steps
        if not self.bar.disable:
            self.bar.set_postfix_str(losses)
        elif tenth > self.said:
            print(f"step {state.global_step} of {state.max_steps}: {losses}")
            self.said = tenth

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the bar."""
        self.bar.close()


def loss_summary(log: pd.DataFrame) -> str:
    """The first and the last row of a log, as a person reads them.

    Args:
        log: ``log.csv``.

    Returns:
        A table; of a training too short for a row, the mean loss of its steps.
    """
    if "loss" not in log or log["loss"].isna().all():
        last = log.dropna(subset="train_loss").iloc[-1]
        return f"mean loss of the {last['step']:.0f} steps  {last['train_loss']:.4f}"
    ends = log[log["loss"].notna()].iloc[[0, -1]].drop_duplicates("step")
    table = ends[["step", *(name for name in NAMES if name in ends)]].rename(columns=NAMES)
    head = "losses in the first and last rows of log.csv (the parts: of that step's batch)"
    return f"{head}\n{table.to_string(index=False, float_format='{:.4f}'.format)}"
