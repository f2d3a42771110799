"""Builds the demo's tokenizer and base model from nothing: ``python -m shiftlens.demo.build``.

One seed, one thread: on one machine the same files come out every time. It reports accuracy on the
validation split alone.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from shiftlens.demo.items import GROUPS, group_of
from shiftlens.demo.tokenizer import build_tokenizer
from shiftlens.demo.world import parallel_texts, pretraining_texts, sft_records

STEPS = 5500
BATCH = 64
LEARNING_RATE = 3e-3
WARM_UP = 100
SEED = 0


def world_tokenizer() -> PreTrainedTokenizerFast:
    """Returns the tokenizer that knows every text of the world."""
    texts = pretraining_texts(SEED)
    texts += [text for side in parallel_texts().values() for text in side]
    texts += [choice for record in sft_records("train") for choice in record["choices"]]
    return build_tokenizer(texts)


def _new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Returns an untrained six-layer Llama of width 64 over the tokenizer's vocabulary."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=6,
            num_attention_heads=4,
            initializer_range=0.08,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def _batches(rows: list[list[int]], pad: int, seed: int) -> Iterator[torch.Tensor]:
    """Yields right-padded batches without end, each of rows of similar length."""
    rng = random.Random(seed)
    while True:
        order = rng.sample(rows, len(rows))
        for start in range(0, len(order), 16 * BATCH):
            pool = sorted(order[start : start + 16 * BATCH], key=len)
            cuts = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
            for cut in rng.sample(cuts, len(cuts)):
                width = max(map(len, cut))
                yield torch.tensor([row + [pad] * (width - len(row)) for row in cut])


def _rate(step: int) -> float:
    """Returns the share of the learning rate at a step: linear warm-up, then a cosine."""
    done = step / STEPS
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))


def train_base(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Trains the base model on the pre-training texts and prints the loss as it goes."""
    torch.manual_seed(SEED)
    model = _new_model(tokenizer)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    rows = [[*ids, end] for ids in tokenizer(pretraining_texts(SEED))["input_ids"]]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate)
    model.train()
    for step, batch in zip(range(1, STEPS + 1), _batches(rows, pad, SEED), strict=False):
        loss = model(input_ids=batch, labels=batch.masked_fill(batch == pad, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if step % 250 == 0 or step == 1:
            print(f"step {step:5d} of {STEPS}  loss {loss.item():.4f}", flush=True)
    return model.eval()


@torch.no_grad()
def _answers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, records: list[dict[str, Any]]
) -> list[str]:
    """Returns the greedy completion of each record's prompt."""
    found: list[str] = []
    for start in range(0, len(records), 256):
        prompts = [record["prompt"] for record in records[start : start + 256]]
        batch = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
        output = model.generate(**batch, max_new_tokens=8, do_sample=False)  # type: ignore[misc]
        new = output[:, batch["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(new, skip_special_tokens=True)
    return found


def validation_accuracy(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> dict[str, float]:
    """Returns greedy exact-match accuracy on the validation split, by group of languages.

    Args:
        model: The model, without shifts.
        tokenizer: Its tokenizer, padding on the left.
    """
    records = sft_records("validation")
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for record, answer in zip(records, _answers(model, tokenizer, records), strict=True):
        hits[group_of(record["language"])].append(answer == record["completion"])
    return {group: sum(hits[group]) / len(hits[group]) for group in GROUPS}


def build(out: Path) -> None:
    """Builds the tokenizer and the base model and writes both to ``out``.

    Args:
        out: Directory for the Hugging Face files; made where it is absent.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = world_tokenizer()
    model = train_base(tokenizer)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for group, accuracy in validation_accuracy(model, tokenizer).items():
        print(f"validation accuracy, {group}: {accuracy:.3f}")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m shiftlens.demo.build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the model")
    build(parser.parse_args().out)


if __name__ == "__main__":
    main()
