"""The commands that take a trained model somewhere else; everything heavy is imported late."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class ExportConfig:
    """Settings of `shiftlens export`.

    Attributes:
        run: The folder of a training.
        out: Folder to write; it must not be there yet.
        language: Codes, comma-separated; by default all that the shift has.
        bake: Write one whole checkpoint, for one language, in place of a base with small files.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: str
    language: str | None = None
    bake: bool = False


@dataclass
class EvalConfig:
    """Settings of `shiftlens eval`.

    Attributes:
        model: The folder of a training, a local directory or hub id of a model, or demo.
        records: Held-out records, as for --test of a training: JSONL, the folder of MGSM, or that
            of XCOPA with a split (xcopa/data:test).
        lm_eval: Tasks of lm-evaluation-harness, comma-separated.
        tasks: Folder of tasks of your own, one YAML file each.
        language: Language of the tasks' texts, for the shift; of records, those to take,
            comma-separated, all by default.
        shift: Run with the training's shift on.
        texts: Score the answers to records by chrF and BLEU too, as for translations.
        max_new_tokens: Longest answer to a record, in tokens; by default the longest right answer,
            which leaves no room for a chain of thought.
        limit: Take the first so many items of each task only.
        batch_size: Items in a batch of the harness.
        out: File for the table, as CSV.
        dtype: Number type of the model: float32, bfloat16 or float16.
        device: cpu, cuda, mps, ... or auto.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_MODEL")]
    records: str | None = None
    lm_eval: str | None = None
    tasks: str | None = None
    language: str | None = None
    shift: bool = True
    texts: bool = False
    max_new_tokens: int | None = None
    limit: int | None = None
    batch_size: int = 16
    out: str | None = None
    dtype: str = "float32"
    device: str = "auto"


def export(config: ExportConfig) -> int:
    """Write a training's model with its shift in the weights, for use without shiftlens.

    By default base/, a plain Hugging Face checkpoint, and deltas/LANGUAGE.safetensors,
    the two biases that make it the model of a language. --bake writes one whole
    checkpoint for one language. README.md is the model card and says how to load it.

    Examples:
      shiftlens export runs/x --out exported
      shiftlens export runs/x --language sw --bake --out model-sw
    """
    from shiftlens.asked import check_export

    check_export(Path(config.run), Path(config.out), config.language, config.bake)
    from shiftlens.export import export_run

    export_run(config.run, config.out, config.language, config.bake)
    return 0


def evaluate(config: EvalConfig) -> int:
    """Test a model, with its shift on: held-out records, or lm-evaluation-harness.

    --records gives exact match of greedy answers, their language and perplexity, every
    record in its own language's shift. --lm-eval runs the harness's tasks in one
    language's shift. --no-shift tests the same model without.

    Examples:
      shiftlens eval runs/x --records demo:test
      shiftlens eval runs/x --records translations.jsonl --texts
      shiftlens eval runs/x --records mgsm --language sw,th --max-new-tokens 256
      shiftlens eval runs/x --lm-eval mgsm_direct_sw,xcopa_sw --language sw
      shiftlens eval runs/x --lm-eval mine --tasks DIR --language sw --no-shift
    """
    from shiftlens.asked import check_tests
    from shiftlens.files import check_file, make_folder, write_atomic

    check_tests(config.records, config.lm_eval, config.max_new_tokens)
    if config.out is not None:
        check_file(Path(config.out))
    from shiftlens.model_tests import legend, run_tests

    table = run_tests(
        config.model,
        config.records,
        config.lm_eval,
        language=config.language,
        shifted=config.shift,
        texts=config.texts,
        max_new_tokens=config.max_new_tokens,
        folder=config.tasks,
        limit=config.limit,
        batch_size=config.batch_size,
        dtype=config.dtype,
        device=config.device,
    )
    print(f"{table.round(4).to_string(index=False)}\n\n{legend(table)}")
    if config.out is not None:
        make_folder(Path(config.out).parent)
        write_atomic(Path(config.out), table.to_csv(index=False).encode())
        print(f"\n{config.out}")
    return 0
