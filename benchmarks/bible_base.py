"""The text of `bible.py` and its base model: a tokenizer and a small Llama, made from nothing."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from shiftlens import Corpus, load_corpus
from shiftlens.corpus_files import read_columns
from shiftlens.languages import DOMINANT
from shiftlens.sft import SftRecord, records_sha256

MID = ("de", "es", "fr", "ru", "zh")
SHARES = {"dominant": 1.0, "mid": 1 / 3, "low": 0.1}
"""Share of the pre-training verses that a group's languages are trained on."""
SPECIAL = ("<pad>", "<s>", "</s>")


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        vocabulary: Tokens of the tokenizer.
        tokenizer_verses: Verses a language that it is trained on.
        width: Of the model; layers its blocks.
        base_steps: Of the base model, of ``base_batch`` verses each.
        validation: Held-out verses on which settings are chosen.
        records: Verses, in every language, that are the instruction data.
        parallel: Verses, in every language, that are the parallel text.
        test: Sentences of the test text, evenly spaced.
        longest: Characters of a text's English side, everywhere but in pre-training; texts that
            are longer are left out, to save time.
        steps: Of every arm, of ``batch`` records and ``batch`` pairs each.
        vectors: Verses in each estimate of the language vectors.
    """

    vocabulary: int = 8192
    tokenizer_verses: int = 2000
    width: int = 160
    layers: int = 6
    base_steps: int = 1600
    base_batch: int = 32
    validation: int = 100
    records: int = 600
    parallel: int = 600
    test: int = 200
    longest: int = 130
    steps: int = 60
    batch: int = 16
    vectors: int = 100


TINY = Sizes(
    vocabulary=400,
    tokenizer_verses=60,
    width=16,
    layers=4,
    base_steps=8,
    base_batch=8,
    validation=12,
    records=20,
    parallel=20,
    test=16,
    steps=2,
    batch=4,
    vectors=8,
)


LARGE = Sizes(
    width=192,
    layers=8,
    base_steps=1600,
    base_batch=128,
    records=1500,
    parallel=1500,
    steps=200,
    batch=32,
)


@dataclass(frozen=True)
class Text:
    """Who is trained and judged on what; no verse is in two parts.

    Attributes:
        pretraining: Verses of each language, the fewer the lower its share; the dominant
            language's begin with those of the others.
        tokenizer: Verses of each language, equally many, for the tokenizer.
        records: Verse continuations, the instruction data.
        parallel: Verses in all languages, for vectors and contrast.
        validation: Verses in all languages that nothing is trained on.
        test: Sentences in all languages, of another kind of text.
    """

    pretraining: Mapping[str, Sequence[str]]
    tokenizer: Mapping[str, Sequence[str]]
    records: list[SftRecord]
    parallel: Corpus
    validation: Corpus
    test: Corpus

    def sha256(self, sizes: Sizes) -> str:
        """Hash of all text and of all sizes but the arms' steps."""
        corpora = [corpus.sha256 for corpus in (self.parallel, self.validation, self.test)]
        content = [self.pretraining, self.tokenizer, records_sha256(self.records), corpora]
        return hashlib.sha256(
            json.dumps([asdict(replace(sizes, steps=0)), *content]).encode()
        ).hexdigest()


def group_of(language: str) -> str:
    """The group of a language: dominant, mid or low."""
    return "dominant" if language == DOMINANT else "mid" if language in MID else "low"


def read_text(bible: Path, ntrex: Path, sizes: Sizes) -> Text:
    """Read the languages that both folders have, and cut the verses into their parts."""
    languages = sorted(set(read_columns(bible, None)) & set(read_columns(ntrex, None)))
    verses, news = load_corpus(bible, languages), load_corpus(ntrex, languages)
    rows = np.random.default_rng(0).permutation(len(verses))
    ends = np.cumsum([sizes.validation, sizes.records, sizes.parallel])
    *parts, rest = np.split(rows, ends)
    validation, records, parallel = (short(verses, rows, sizes.longest) for rows in parts)
    asked = short(news, np.arange(len(news)), sizes.longest)
    spread = np.linspace(0, len(asked) - 1, min(sizes.test, len(asked))).astype(int)
    return Text(
        {
            code: [texts[row] for row in rest[: round(SHARES[group_of(code)] * len(rest))]]
            for code, texts in verses.texts.items()
        },
        {
            code: [texts[row] for row in rest[: sizes.tokenizer_verses]]
            for code, texts in verses.texts.items()
        },
        [
            continuation(f"{verses.ids[row]}.{code}", code, verses.texts[code][row])
            for row in records
            for code in languages
        ],
        part(verses, parallel),
        part(verses, validation),
        part(news, asked[spread]),
    )


def short(corpus: Corpus, rows: np.ndarray, longest: int) -> np.ndarray:
    """The rows whose text in the dominant language is not longer."""
    return rows[[len(corpus.texts[DOMINANT][row]) <= longest for row in rows]]


def part(corpus: Corpus, rows: np.ndarray) -> Corpus:
    """Some sentences of a corpus."""
    texts = {code: [own[row] for row in rows] for code, own in corpus.texts.items()}
    return Corpus.from_texts(texts, [corpus.ids[row] for row in rows])


def continuation(name: str, language: str, verse: str) -> SftRecord:
    """A verse cut after its first word, or its first two characters where it has no four words.

    So little is left to the prompt that nearly all of the verse is learnt: the start of a text,
    which nothing would train, is judged too.
    """
    first, space, rest = verse.partition(" ")
    if verse.count(" ") < 3:
        return SftRecord(name, language, verse[:2], verse[2:])
    return SftRecord(name, language, first, space + rest)


def train_tokenizer(text: Text, size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on equally many verses a language: no text is unknown to it."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((verse for own in text.tokenizer.values() for verse in own), trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def new_model(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> LlamaForCausalLM:
    """An untrained Llama."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.width,
            intermediate_size=27 * sizes.width // 10,
            num_hidden_layers=sizes.layers,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def train_base(text: Text, sizes: Sizes, out: Path, device: str) -> None:
    """Train tokenizer and base model and write both; killed, it goes on from its checkpoint."""
    tokenizer = train_tokenizer(text, sizes.vocabulary)
    end = tokenizer.eos_token_id

    def rows(languages: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        verses = [verse for own in languages.values() for verse in own]
        return [{"input_ids": [*ids, end]} for ids in tokenizer(verses)["input_ids"]]

    transformers.set_seed(0)
    trainer = Trainer(
        new_model(tokenizer, sizes),
        base_arguments(sizes, out / "checkpoints", device),
        DataCollatorForLanguageModeling(tokenizer, mlm=False),
        rows(text.pretraining),
        rows(text.validation.texts),
    )
    done = (path.parent for path in (out / "checkpoints").glob("*/trainer_state.json"))
    latest = max(done, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)
    trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    tokenizer.save_pretrained(out)
    trainer.model.save_pretrained(out)
    shutil.rmtree(out / "checkpoints")


def is_trained(out: Path) -> bool:
    """Whether the base model is all there: its checkpoints go last."""
    return (out / "model.safetensors").exists() and not (out / "checkpoints").exists()


def base_arguments(sizes: Sizes, folder: Path, device: str) -> Any:
    """The Trainer's settings: AdamW, a cosine after a warm-up, verses of like length together.

    The checkpoint of the lowest loss on held-out verses is kept.
    """
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=sizes.base_steps,
        per_device_train_batch_size=sizes.base_batch,
        per_device_eval_batch_size=64,
        train_sampling_strategy="group_by_length",
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.1,
        adam_beta2=0.98,
        save_steps=200,
        eval_steps=200,
        eval_strategy="steps",
        load_best_model_at_end=True,
        save_total_limit=2,
        logging_steps=50,
        report_to="none",
        use_cpu=device == "cpu",
        seed=0,
        dataloader_pin_memory=False,
    )
