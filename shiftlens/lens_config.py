"""Settings of a lens."""

from dataclasses import dataclass

POSITIONS = ("all", "last")


@dataclass
class LensConfig:
    """Settings of `shiftlens lens`.

    Attributes:
        model: The folder of a training, a local directory or hub id of a causal model, or demo.
        corpus: Parallel text, read and counted for the languages' tokens: folder, table, or demo.
        out: Folder to write; a lens that stopped goes on here.
        languages: BCP-47 codes, comma-separated; every language of the corpus if left out.
        sentences: Read the first so many sentences only; tokens are counted in all.
        positions: all of a text's tokens, or its last one.
        records: Held-out records whose answers to look for, as for shiftlens eval.
        shift: Read with the training's shift on.
        threshold: Share of a token's occurrences that makes it one language's own, above 0.5.
        batch_tokens: Most tokens, padding included, in one forward pass.
        max_length: Longest text in tokens; longer ones are cut.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
    """

    model: str
    corpus: str
    out: str
    languages: str | None = None
    sentences: int | None = None
    positions: str = "all"
    records: str | None = None
    shift: bool = True
    threshold: float = 0.9
    batch_tokens: int = 1024
    max_length: int = 512
    dtype: str = "float32"
    device: str = "auto"
