"""Settings of a steering."""

from dataclasses import dataclass

KINDS = ("language", "difference", "subspace-onto", "subspace-out", "lsar", "incline")


@dataclass
class SteerConfig:
    """Settings of `shiftlens steer`.

    Attributes:
        model: Local directory or hub id of a causal model, or demo.
        records: Held-out records, in the source and the target language, sharing items.
        source: Language of the prompts.
        target: Language to steer to.
        layer: Layer to steer at, 0..L.
        out: Folder to write; a run that stopped goes on here.
        kind: language, difference, subspace-onto, subspace-out, lsar or incline.
        strengths: Numbers, comma-separated; 0 is the model as it is.
        run: Run folder with this model's states, of sweep or train; measured anew without.
        corpus: Parallel text to measure on where there is no run: folder, table, or demo.
        ridge: Penalty of incline's map; the paper has none.
        batch_size: Prompts in a batch.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
    """

    model: str
    records: str
    source: str
    target: str
    layer: int
    out: str
    kind: str = "difference"
    strengths: str = "0,0.5,1,2,4"
    run: str | None = None
    corpus: str | None = None
    ridge: float = 0.0
    batch_size: int = 128
    dtype: str = "float32"
    device: str = "auto"
