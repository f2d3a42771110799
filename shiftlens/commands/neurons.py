"""The command that finds neurons; everything heavy is imported late."""

from shiftlens.neurons_config import NeuronsConfig


def neurons(config: NeuronsConfig) -> int:
    r"""Find each language's neurons, ablate or amplify them, and measure what that does.

    Neurons are found by activation probability entropy (LAPE) with the paper's thresholds.
    Scaling each language's, the change of every language's perplexity is measured on
    held-out text, beside as many other neurons of each block: random ones, and ones that
    are about as active. Of an encoder the neurons are found and nothing is measured.

    Examples:
      shiftlens neurons --model demo --out runs/neurons
      shiftlens neurons --model demo --held-out demo:test --share 0.05 --out runs/neurons-5
      shiftlens neurons --model ./my-model --corpus DIR --languages en,es,fi --factor 2 \
          --out runs/amplified
    """
    from shiftlens.neurons_run import run_neurons

    run_neurons(config)
    return 0
