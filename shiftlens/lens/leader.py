"""Which of several languages is ahead, and how clearly."""

from typing import Any

import pandas as pd

from shiftlens.effects import t_interval


def leader(masses: pd.DataFrame, level: float = 0.95) -> dict[str, Any]:
    r"""The language with most of a probability mass, and its lead over the next one.

    .. math:: \hat k = \arg\max_k \bar P(k), \qquad
              \mathrm{lead} = \overline{P(\hat k) - P(\hat k')}

    with means over texts and :math:`\hat k'` the runner-up. Where the lead's interval reaches down
    to 0, these texts do not settle which language is ahead. The leader is chosen on the texts that
    the interval is of, so that of two languages that are level the lead is on the high side.

    Args:
        masses: One row a text, one column a language, two languages or more.
        level: Coverage of the t-intervals over texts.

    Returns:
        ``pivot``, its ``mass`` with ``low`` and ``high``; ``runner_up``, and the ``lead`` with
        ``lead_low`` and ``lead_high``; ``n`` texts.
    """
    pivot, second = masses.mean().sort_values(ascending=False, kind="stable").index[:2]
    mass = t_interval(masses[pivot], level)
    lead = t_interval(masses[pivot] - masses[second], level)
    return {
        **{"pivot": pivot, "mass": mass["mean"], "low": mass["low"], "high": mass["high"]},
        **{"runner_up": second, "lead": lead["mean"]},
        **{"lead_low": lead["low"], "lead_high": lead["high"], "n": len(masses)},
    }
