"""The command that steers answers; everything heavy is imported late."""

from shiftlens.steering_config import SteerConfig


def steer(config: SteerConfig) -> int:
    r"""Steer a model's answers toward a language, at several strengths, and draw the curves.

    Adds or projects at one layer, in prompt and answer. For every strength: in which
    language the answers are, how many are right in the source's and in the target's
    words, and how likely the right ones are.

    Examples:
      shiftlens steer --model demo --records demo:test --source fi --target en --layer 3 --out r/s
      shiftlens steer --model ./m --run runs/first --records test.jsonl --source sw --target en \
          --layer 8 --kind lsar --strengths 0,0.5,1 --out runs/lsar
    """
    from shiftlens.steering_run import run_steering

    run_steering(config)
    return 0
