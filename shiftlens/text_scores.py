"""How near generated texts come to their references: chrF and BLEU, by sacrebleu."""

from collections.abc import Mapping, Sequence
from typing import Any

from shiftlens.errors import ShiftlensError

TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "km": "char"}
"""BLEU's tokenizer for languages that its usual one does not cut into words."""


def text_scores(
    language: str, answers: Sequence[str], references: Sequence[str]
) -> dict[str, float]:
    """Corpus chrF and BLEU of the answers in one language.

    Args:
        language: Their code; of Chinese, Japanese, Korean, Thai, Lao and Khmer, BLEU counts
            characters (of Chinese, words of other scripts stay whole).
        answers: The generated texts.
        references: As many right ones.

    Returns:
        ``chrf`` and ``bleu``, 0 to 100.

    Raises:
        ShiftlensError: sacrebleu is not installed.

    Source:
        Popovic, "chrF", WMT 2015, doi:10.18653/v1/W15-3049; Papineni et al., "BLEU", ACL 2002,
        doi:10.3115/1073083.1073135; Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018,
        arXiv:1804.08771.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise ShiftlensError(
            "chrF and BLEU need sacrebleu: pip install 'shiftlens[eval]', or '.[eval]' in a clone"
        ) from error
    options: Mapping[str, Any] = {"tokenize": TOKENIZERS.get(language.split("-")[0], "13a")}
    texts, targets = list(answers), [list(references)]
    return {
        "chrf": float(sacrebleu.corpus_chrf(texts, targets).score),
        "bleu": float(sacrebleu.corpus_bleu(texts, targets, **options).score),
    }
