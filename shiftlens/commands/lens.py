"""The command of the logit lens; everything heavy is imported late."""

from shiftlens.lens_config import LensConfig


def lens(config: LensConfig) -> int:
    """See which language a model is about to speak, layer by layer.

    Reads every layer of every text through the model's own final norm and unembedding:
    the probability of each language's tokens, the entropy, and with --records the
    answer in each language. A training is read with its shift on, unless --no-shift.
    A lens that stopped goes on where it was when the same command is given again.

    Examples:
      shiftlens lens --model demo --corpus demo --positions last --out runs/lens
      shiftlens lens --model ./my-model --corpus DIR --languages en,es,fr --sentences 100 \
--dtype bfloat16 --out runs/mine
      shiftlens lens --model runs/x --corpus demo --records demo:test --out runs/lens-x
    """
    from shiftlens.lens_run import run_lens

    run_lens(config)
    return 0
