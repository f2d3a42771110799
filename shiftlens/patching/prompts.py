"""The texts of a patching: as tokens that can be shown, and the answers that may follow them."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shiftlens.errors import ShiftlensError
from shiftlens.models import LanguageModel

Answers = Sequence[str] | Mapping[str, str]

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts, by the first word of their characters' names, in which no space parts words."""


@dataclass(frozen=True)
class Prompt:
    """A text as the model reads it.

    Attributes:
        text: The text.
        ids: Its token ids, with the special tokens that the tokenizer puts before a text and
            without those it puts behind one.
        tokens: What each token shows of the text, without the space around it; a special token's
            own name.
        spans: Character span of each token in the text, empty for a special token and for white
            space.
        special: Which tokens are special.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    special: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def touching(self, start: int, end: int) -> tuple[int, ...]:
        """Positions of the tokens that touch the characters ``start`` to ``end``."""
        return tuple(
            position
            for position, (first, last) in enumerate(self.spans)
            if first < end and last > start
        )

    def shown(self, positions: Sequence[int]) -> str:
        """The tokens at some positions, each once, parted by spaces."""
        return " ".join(self.tokens[position] for position in dict.fromkeys(positions))


def read_pair(model: LanguageModel, clean: str, corrupt: str) -> tuple[Prompt, Prompt]:
    """Tokenise two texts that are to be continued.

    Args:
        model: A causal language model with a fast tokenizer.
        clean: The text whose states are taken.
        corrupt: The text into whose run they are put.

    Returns:
        Both with their tokens and where these lie.

    Raises:
        ShiftlensError: A model that is not causal, an empty text, one that the model's positions
            do not hold, or a tokenizer that cannot say where its tokens lie.
    """
    if not isinstance(model, LanguageModel):
        raise ShiftlensError(f"{model!r} is not a loaded model; give load_model({model!r})")
    if not model.hf.can_generate() or model.hf._is_stateful:
        raise ShiftlensError(
            f"model {model.name} ({type(model.hf).__name__}) cannot be patched; patching needs a "
            "causal language model with attention in every block"
        )
    return read_prompt(model, clean, "clean "), read_prompt(model, corrupt, "corrupt ")


def read_prompt(model: LanguageModel, text: str, which: str = "") -> Prompt:
    """Tokenise a text that is to be continued.

    Args:
        model: Whose tokenizer, a fast one, to use.
        text: The text.
        which: What it is called in messages, the space behind it included.

    Raises:
        ShiftlensError: An empty text, one that the model's positions do not hold, or a tokenizer
            that cannot say where its tokens lie.
    """
    _check_text(text, f"the {which}text")
    if not model.tokenizer.is_fast:
        raise ShiftlensError(
            f"the tokenizer of {model.name} does not say where its tokens lie in a text; a fast "
            "tokenizer is needed"
        )
    encoded = model.tokenizer(
        text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
    )
    special = [bool(flag) for flag in encoded["special_tokens_mask"]]
    length = max((n for n, flag in enumerate(special, 1) if not flag), default=0)
    limit = model.max_positions
    if limit is not None and length > limit:
        raise ShiftlensError(
            f"the {which}text has {length} tokens but the model has {limit} positions; shorten it"
        )
    ids = encoded["input_ids"][:length]
    spans = [_trimmed(text, *span) for span in encoded["offset_mapping"][:length]]
    names = model.tokenizer.convert_ids_to_tokens(ids)
    shown = [text[a:b] or name for (a, b), name in zip(spans, names, strict=True)]
    return Prompt(text, tuple(ids), tuple(shown), tuple(spans), tuple(special[:length]))


def _check_text(text: str, what: str) -> None:
    """Refuse what no tokenizer reads."""
    if not isinstance(text, str):
        raise ShiftlensError(f"{what} is {text!r}; give a string")
    if not text.strip():
        raise ShiftlensError(f"{what} is empty; give a text to read")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ShiftlensError(f"{what} holds half a character at {error.start}; remove it") from None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space at its ends: some tokenizers count it in, others do not."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def same_prefix(one: Prompt, other: Prompt) -> int:
    """With how many of the same tokens two texts begin."""
    same = [a == b for a, b in zip(one.ids, other.ids, strict=False)]
    return [*same, False].index(False)


def token_text(model: LanguageModel, token: int) -> str:
    """A token as shown: without the space around it, or by its own name."""
    name = str(model.tokenizer.convert_ids_to_tokens(token))
    return str(model.tokenizer.decode([token])).strip() or name


def first_tokens(model: LanguageModel, text: str, answers: Answers) -> dict[str, int]:
    """Find the token with which each answer begins where it follows a text.

    A space is put between the two unless either brings its own, or the answer is in a script
    without spaces.

    Args:
        model: Whose tokenizer to use.
        text: The text that is answered.
        answers: The answers, or language to answer.

    Returns:
        Answer (or language) to token id, in the given order.

    Raises:
        ShiftlensError: An answer without a token, or answers that begin with the same token.
    """
    texts = [answers] if isinstance(answers, str) else answers
    if not isinstance(texts, Mapping | Sequence):
        raise ShiftlensError(f"answers are {answers!r}; give a list of texts, or language to text")
    pairs = list(texts.items()) if isinstance(texts, Mapping) else [(each, each) for each in texts]
    for number, (_, answer) in enumerate(pairs, 1):
        _check_text(answer, f"answer {number}")
    if len(named := dict(pairs)) < len(pairs):
        raise ShiftlensError(f"an answer is given twice in {list(texts)}; give different ones")
    found: dict[str, int] = {}
    for name, answer in named.items():
        token = _first_token(model, text, answer)
        for other, taken in found.items():
            if taken == token:
                raise ShiftlensError(
                    f"answers {named[other]!r} and {answer!r} begin with the same token "
                    f"({model.tokenizer.convert_ids_to_tokens(token)!r}), so the next token does "
                    "not tell them apart; let the text go on up to where they differ"
                )
        found[name] = token
    return found


def _first_token(model: LanguageModel, text: str, answer: str) -> int:
    """The answer's first token in its place; its own where text and answer melt together."""

    def encode(string: str) -> list[int]:
        return list(model.tokenizer(string, add_special_tokens=False, verbose=False)["input_ids"])

    spaced = text[-1:].isspace() or answer[0].isspace()
    gap = "" if spaced or unicodedata.name(answer[0], "").startswith(UNSPACED) else " "
    before, whole = encode(text), encode(text + gap + answer)
    alone = encode(gap + answer)
    tokens = whole[len(before) :] if whole[: len(before)] == before else alone
    if not tokens or tokens[0] == model.tokenizer.unk_token_id:
        way_out = "strip the white space at the end of the text" if spaced else "give another"
        raise ShiftlensError(f"the tokenizer has no token for answer {answer!r}; {way_out}")
    return tokens[0]
