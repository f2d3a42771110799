"""What a training minimises: the arm, the area and the weights of both losses."""

from collections.abc import Sequence
from dataclasses import dataclass

from shiftlens.arms import Arm, arm_named
from shiftlens.config import TrainConfig
from shiftlens.errors import ShiftlensError
from shiftlens.languages import DOMINANT


@dataclass(frozen=True)
class Objective:
    r"""What is minimised: :math:`L = w_{gen} L_{LM} + w_{con} L_{MCL}`.

    Attributes:
        arm: Which parts are on.
        area: Layers (a, b).
        dominant: The dominant language.
        w_gen: Weight of the language-model loss on completions, through the shifted pass.
        w_con: Weight of the contrastive loss; for ``parallel_lm``, of the loss on the marked
            translations.
        temperature: Of the contrastive loss.
        pairs: Parallel pairs in a contrastive batch.
        reestimate: Steps between estimates of the language vectors as the model moves.
        vector_sentences: Parallel sentences that each estimate averages.
        third: Target of the ``third`` arm.
        seed: Of the pairs and of random vectors.

    Source:
        Zhang et al., "ShifCon", ACL 2025, arXiv:2410.19453.
    """

    arm: Arm
    area: tuple[int, int]
    dominant: str = DOMINANT
    w_gen: float = 1.0
    w_con: float = 0.3
    temperature: float = 0.2
    pairs: int = 32
    reestimate: int = 50
    vector_sentences: int = 256
    third: str | None = None
    seed: int = 0

    @property
    def needs_pairs(self) -> bool:
        """Whether it trains on parallel pairs."""
        return self.arm.contrast is not None or self.arm.parallel_lm


def objective_of(config: TrainConfig, area: tuple[int, int]) -> Objective:
    """The objective that a configuration asks for.

    Raises:
        ShiftlensError: There is no such arm.
    """
    return Objective(
        arm=arm_named(config.arm),
        area=area,
        dominant=config.dominant,
        w_gen=config.w_gen,
        w_con=config.w_con,
        temperature=config.temperature,
        pairs=config.pairs,
        reestimate=config.reestimate,
        vector_sentences=config.vector_sentences,
        third=config.third,
        seed=config.seed,
    )


def third_language(objective: Objective, languages: Sequence[str]) -> str:
    """The target of the ``third`` arm: the language asked for, or the first that can be.

    Args:
        objective: What is minimised.
        languages: Those of the parallel texts.

    Raises:
        ShiftlensError: None is asked for, and there are not three.
    """
    if objective.third:
        return objective.third
    others = [code for code in languages if code != objective.dominant]
    if len(others) < 2:
        raise ShiftlensError("shifting to a third language takes three languages")
    return others[0]
