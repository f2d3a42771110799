"""The tokenizer of the counting world: words, digits, punctuation, Han and Hangul characters, kana.

A space belongs to the word after it, a hyphen to the word around it. The vocabulary is every token
of the texts it is built from; languages that spell a token alike share it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Builds a tokenizer that knows every token of ``texts`` and opens each text with ``<s>``.

    Args:
        texts: Texts whose tokens make the vocabulary; their order does not matter.

    Returns:
        A fast tokenizer that pads on the left.
    """
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Split(Regex(r"\p{Han}|\p{Hiragana}+|▁?\p{Hangul}"), "isolated"),
            pre_tokenizers.Split(Regex(r"(?!\b-\b)\p{P}|\d+"), "isolated"),
        ]
    )
    words = {piece for text in set(texts) for piece, _ in split.pre_tokenize_str(text)}
    vocabulary = {token: index for index, token in enumerate([*_SPECIAL, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )
