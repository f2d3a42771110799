"""Settings of `shiftlens plan`."""

from dataclasses import dataclass


@dataclass
class PlanConfig:
    """Settings of `shiftlens plan`.

    Attributes:
        model: Local directory or hub id of a Hugging Face model, a config.json alone, or demo; of
            a model only the configuration is read.
        languages: How many languages, a number; which ones does not matter.
        sentences: Sentences in each.
        tokens_per_sentence: Tokens a sentence on average, special ones included.
        spread: Standard deviation of the logarithm of a sentence's length.
        states: sentences or tokens, as for a sweep.
        groups: Groups of the jackknife.
        max_length: Longest text in tokens.
        batch_tokens: Most tokens, padding included, in one forward pass.
        dtype: Number type of the model: float32, bfloat16 or float16; of a training, that of its
            arithmetic.
        train: Forecast a training too, with its sweeps before and after.
        arm: Arm of the training.
        area: Layers to shift between, such as 2-5; without it the contrast is taken to run through
            all blocks, the most it can.
        steps: Optimizer steps.
        batch_size: Instruction records a batch.
        record_tokens: Tokens of the longest record in a batch, to which the others are padded.
        accumulation: Batches a step is put together from.
        pairs: Parallel pairs in a contrastive batch.
        reestimate: Steps between estimates of the language vectors.
        vector_sentences: Parallel sentences in each estimate.
        lora_rank: Rank of LoRA's matrices; 0 to train the weights themselves.
        lora_targets: Layers that LoRA adapts, as for a training.
        flops_per_second: Speed of the device in matrix products, for times.
        measure: Measure that speed here.
        device: Where to measure it: cpu, cuda, mps, ... or auto.
    """

    model: str
    languages: int
    sentences: int
    tokens_per_sentence: float = 40.0
    spread: float = 0.5
    states: str = "sentences"
    groups: int = 0
    max_length: int = 512
    batch_tokens: int = 4096
    dtype: str = "float32"
    train: bool = False
    arm: str = "shifcon"
    area: str | None = None
    steps: int = 1000
    batch_size: int = 32
    record_tokens: int = 256
    accumulation: int = 1
    pairs: int = 32
    reestimate: int = 50
    vector_sentences: int = 256
    lora_rank: int = 0
    lora_targets: str = "all-linear"
    flops_per_second: float | None = None
    measure: bool = False
    device: str = "auto"
