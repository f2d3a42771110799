"""Settings of a run: one dataclass behind the command line, YAML and Python."""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

import yaml

from shiftlens.errors import without_secrets
from shiftlens.languages import DOMINANT

RECORDED = ("shiftlens", "torch", "transformers", "transformer-lens", "numpy", "scikit-learn")


@dataclass
class SweepConfig:
    """Settings of a layer-distance sweep.

    Attributes:
        model: Local directory or hub id of a Hugging Face model, or demo.
        corpus: Folder of xx.txt files aligned by line, or of xx.tsv or xx.jsonl aligned by id, or
            one such table with a column a language; the folder of MGSM, or of XCOPA with a split
            (xcopa/data:val); or demo.
        out: Run folder; a run that stopped goes on here.
        languages: BCP-47 codes, comma-separated; every language of the corpus if left out.
        dominant: The dominant language.
        metric: Metrics, comma-separated, or all; the first that compares languages chooses the
            area. See shiftlens metrics.
        states: sentences (their mean vectors) or tokens (mean and covariance of every token).
        shrinkage: Rule for all covariances: ledoit-wolf, oas, or a fixed alpha from 0 to 1.
        rank: Of the subspace metrics: a number of directions such as 8, or the share of the
            dominant language's variance that they keep at every layer, such as 0.9.
        groups: 95% intervals by the jackknife over this many groups of sentences, 10 say; it
            measures everything so many times again. 0 for none.
        projection: Sweep a second time after a language-agnostic projection of the states, fitted
            to a third of the sentences: centre, lsar, or none.
        share: Share of the layers that the area takes (beta).
        sentences: Use the first N sentences only.
        keep_intersection: Drop sentences that some language lacks instead of refusing them.
        special_tokens: Pool BOS, EOS, CLS and SEP too.
        skip_first: Leave out the text's first token, an attention sink in models without BOS.
        max_length: Longest text in tokens; longer ones are cut, and counted.
        batch_tokens: Most tokens, padding included, in one forward pass.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto; map to spread a large model over all accelerators,
            memory and disk.
        seed: Seed of the halving of the sentences.
    """

    model: str
    corpus: str
    out: str
    languages: str | None = None
    dominant: str = DOMINANT
    metric: str = "affine_invariant,mean_distance,mean_distance_rms,shifcon"
    states: Literal["sentences", "tokens"] = "sentences"
    shrinkage: str = "ledoit-wolf"
    rank: str = "0.9"
    groups: int = 0
    projection: str = "none"
    share: float = 0.3
    sentences: int | None = None
    keep_intersection: bool = False
    special_tokens: bool = False
    skip_first: bool = False
    max_length: int = 512
    batch_tokens: int = 4096
    dtype: str = "float32"
    device: str = "auto"
    seed: int = 0


@dataclass
class TrainConfig:
    """Settings of a ShifCon training.

    Attributes:
        model: Local directory or hub id of a Hugging Face model, or demo.
        sft: JSONL of instruction data: language, prompt and completion on every line; the folder
            of MGSM, or of XCOPA with a split (xcopa/data:val); demo:train for the embedded demo's.
        parallel: Parallel text, as for a sweep: for the language vectors and the contrast.
        out: Run folder; a run that stopped goes on here.
        test: Held-out records to judge the model on, before and after; as for sft.
        arm: Which arm of the comparison to train: shifcon, msft, msft-parallel, shift-only,
            mcl-only, random-vector, third-language, recentred, l2-only, l2-shift, anchored-only,
            anchored-shift, base or base-shift.
        area: Layers to shift between, such as 2-5, or auto for the area that a sweep chooses.
        dominant: The dominant language.
        w_gen: Weight of the language-model loss.
        w_con: Weight of the contrastive loss.
        temperature: Temperature of the contrastive loss.
        pairs: Parallel pairs in a contrastive batch.
        reestimate: Steps between estimates of the language vectors.
        vector_sentences: Parallel sentences in each estimate.
        third: Target language of the arm third-language.
        steps: Optimizer steps; 0 for as many as the epochs take.
        epochs: Passes over the instruction data where steps is 0.
        batch_size: Instruction records a step.
        accumulation: Batches a step is put together from.
        learning_rate: Peak learning rate of AdamW.
        warmup: Share of the steps that warm up; the rate falls as a cosine afterwards.
        weight_decay: Of AdamW.
        lora_rank: Rank of LoRA's matrices; 0 to train the weights themselves.
        lora_alpha: Scale of LoRA's matrices (their product is multiplied by alpha / rank).
        lora_targets: Layers that LoRA adapts: all-linear, or ends of module names, such as
            q_proj,v_proj.
        save_every: Steps between checkpoints.
        special_tokens: Pool BOS, EOS, CLS and SEP too.
        skip_first: Leave out the text's first token, an attention sink in models without BOS.
        dtype: Arithmetic of the training: float32, or bfloat16 (autocast; weights stay float32).
        device: cpu, cuda, mps, ... or auto.
        seed: Seed of everything random.
    """

    model: str
    sft: str
    parallel: str
    out: str
    test: str | None = None
    arm: str = "shifcon"
    area: str = "auto"
    dominant: str = DOMINANT
    w_gen: float = 1.0
    w_con: float = 0.3
    temperature: float = 0.2
    pairs: int = 32
    reestimate: int = 50
    vector_sentences: int = 256
    third: str | None = None
    steps: int = 0
    epochs: float = 1.0
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-5
    warmup: float = 0.01
    weight_decay: float = 0.0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_targets: str = "all-linear"
    save_every: int = 500
    special_tokens: bool = False
    skip_first: bool = False
    dtype: str = "float32"
    device: str = "auto"
    seed: int = 0


@dataclass
class DemoConfig:
    """Settings of `shiftlens demo`.

    Attributes:
        out: Run folder; a run that stopped goes on here.
    """

    out: str


@dataclass
class ServeConfig:
    """Settings of `shiftlens serve`.

    Attributes:
        model: Local directory or hub id of a Hugging Face model, or demo.
        run: Folder of a sweep or training of this model, for the views of shift and sweep; the
            demo needs none.
        port: Where to listen, on this machine only; 0 for any free port.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
    """

    model: str
    run: str | None = None
    port: int = 8050
    dtype: str = "float32"
    device: str = "auto"


def to_yaml(config: Any) -> str:
    """A settings file that repeats the run, with the versions it ran with in its first line."""
    versions = ", ".join(f"{name} {version(name)}" for name in RECORDED)
    header = f"# python {python_version()}, {versions}\n"
    settings = {
        name: without_secrets(str(value)) if isinstance(value, Path | str) else value
        for name, value in asdict(config).items()
    }
    return header + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
