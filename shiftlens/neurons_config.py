"""Settings of a search for neurons."""

from dataclasses import dataclass


@dataclass
class NeuronsConfig:
    """Settings of `shiftlens neurons`.

    Attributes:
        model: Local directory or hub id of a Hugging Face model, RUN/model of a training (without
            its shift), or demo.
        out: Folder to write; a run that stopped goes on here.
        corpus: Text of two languages or more, parallel: folder, table, or demo. The demo model's
            is demo.
        held_out: Parallel text to measure on, as corpus, or demo:validation or demo:test; without,
            one half of the corpus's sentences finds the neurons and the other measures.
        languages: BCP-47 codes, comma-separated; every language of the corpus if left out.
        share: Share of all neurons, those of lowest entropy, to keep.
        filter_rate: Percentile of all activation probabilities that a neuron must exceed in some
            language.
        bar_rate: Percentile above which a kept neuron is of a language.
        factor: What activations are multiplied by: 0 ablates, more than 1 amplifies.
        draws: Sets of random neurons, the control.
        sentences: Use the first N sentences of the corpus only.
        keep_intersection: Drop sentences that some language lacks instead of refusing them.
        max_length: Longest text in tokens; longer ones are cut.
        batch_tokens: Most tokens, padding included, in one forward pass.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
        seed: Of the halves and of the draws.
    """

    model: str
    out: str
    corpus: str | None = None
    held_out: str | None = None
    languages: str | None = None
    share: float = 0.01
    filter_rate: float = 0.95
    bar_rate: float = 0.95
    factor: float = 0.0
    draws: int = 10
    sentences: int | None = None
    keep_intersection: bool = False
    max_length: int = 512
    batch_tokens: int = 4096
    dtype: str = "float32"
    device: str = "auto"
    seed: int = 0
