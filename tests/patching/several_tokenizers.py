"""Models under several kinds of tokenizers."""

import tiny
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from shiftlens.loading import load_model
from shiftlens.models import LanguageModel

EN, FI = "How much is seven plus 12?", "Paljonko on seitsemän plus 12?"
TEXTS = ["seven plus seven is fourteen", "seitsemän plus viisi on kaksitoista", "Wie viel größer"]


def byte_level(trim=False):
    """Few merges, so that words fall apart and letters outside of ASCII into bytes."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"]
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.ByteLevel(trim_offsets=trim)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def pieces(prepend="always"):
    """As SentencePiece has it: a word brings the space before it, the first one too."""
    words = ["▁" + word for text in (EN, FI) for word in text.replace("?", "").split()]
    tokens = ["<unk>", "<s>", *dict.fromkeys([*words, "?", "▁", "eight", "▁eight", "八", "▁nine"])]
    backend = Tokenizer(models.WordLevel({t: n for n, t in enumerate(tokens)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme=prepend),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    backend.decoder = decoders.Metaspace(prepend_scheme=prepend)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", unk_token="<unk>", pad_token="<s>"
    )


HF = tiny.tiny_model("llama", vocab_size=600)
DEMO = load_model("demo")
MODELS = {
    "bytes": LanguageModel(HF, byte_level(), "bytes"),
    "trimmed": LanguageModel(HF, byte_level(trim=True), "trimmed"),
    "pieces": LanguageModel(HF, pieces(), "pieces"),
    "letters": LanguageModel(HF, tiny.tiny_tokenizer(), "letters"),
    "demo": DEMO,
}
