"""What cannot be trained, told before a training begins."""

from collections.abc import Sequence
from typing import Any

from transformers import Trainer

from shiftlens import ranks
from shiftlens.corpora import Corpus
from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel
from shiftlens.sft import SftRecord
from shiftlens.shift import check_area
from shiftlens.training.contrastive import FORMS
from shiftlens.training.objective import Objective, third_language


def check_trainable(
    model: LanguageModel, records: Sequence[SftRecord], parallel: Corpus, objective: Objective
) -> None:
    """Refuse an objective that the model and the data cannot give.

    Raises:
        ShiftlensError: The area is not inside the model, a language has no parallel texts, the
            model is no causal one or is not on one device, or records or pairs are too few.
    """
    check_area(objective.area, model.n_layers)
    _check_languages(records, parallel, objective)
    if not model.hf.can_generate():
        raise ShiftlensError(f"{model.name!r} is no causal language model; ShifCon trains those")
    form = objective.arm.contrast
    if form is not None and form not in FORMS:
        raise ShiftlensError(f"unknown contrastive form {form!r}; choose from {', '.join(FORMS)}")
    if not records:
        raise ShiftlensError("there are no instruction records to train on")
    if objective.needs_pairs and objective.pairs < ranks.count():
        raise ShiftlensError(
            f"a batch of {objective.pairs} pairs is too few for {ranks.count()} "
            "processes; give each at least one"
        )
    _check_place(model)


def _check_languages(records: Sequence[SftRecord], parallel: Corpus, objective: Objective) -> None:
    there = ", ".join(parallel.languages)
    for language in dict.fromkeys([objective.dominant, *(record.language for record in records)]):
        if language not in parallel.languages:
            raise ShiftlensError(
                f"language {language!r} has instruction data but no parallel text, so it has no "
                f"language vector (parallel: {there})"
            )
    if objective.arm.vectors == "third":
        third = third_language(objective, parallel.languages)
        if third not in parallel.languages:
            raise ShiftlensError(
                f"third is {third!r}, which has no parallel text (parallel: {there})"
            )
    if len(parallel.languages) < 2:
        raise ShiftlensError("ShifCon takes the dominant language and at least one more")


def _check_place(model: LanguageModel) -> None:
    places = set((getattr(model.hf, "hf_device_map", None) or {}).values())
    if len(places) > 1 or any(weight.is_meta for weight in model.hf.parameters()):
        raise ShiftlensError(
            f"{model.name!r} is spread over devices, memory or disk; load it on one device to "
            "train it"
        )


def check_launch(trainer: Trainer, adapters: Any) -> None:
    """Refuse what launchers offer and a training is not made for; FSDP is told to save it whole.

    Args:
        trainer: The trainer, as the launcher set it up.
        adapters: LoRA's adapters, or None.

    Raises:
        ShiftlensError: It is launched with DeepSpeed, with FSDP 1, or with FSDP and adapters.
    """
    if trainer.is_deepspeed_enabled:
        raise ShiftlensError("training is not made for DeepSpeed; launch it with DDP or FSDP 2")
    if trainer.is_fsdp_enabled:
        plugin = trainer.accelerator.state.fsdp_plugin
        if plugin.fsdp_version != 2:
            raise ShiftlensError("training takes FSDP 2; add --fsdp_version 2 to the launcher")
        if adapters is not None:
            raise ShiftlensError("LoRA is trained without FSDP; launch it with DDP")
        plugin.set_state_dict_type("FULL_STATE_DICT")
