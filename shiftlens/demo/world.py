"""The texts of the counting world: pre-training, instruction and parallel.

- Pre-training: statements of the items a language has seen, the questions and answers of a quarter
  of them, counting sentences, and code-switching: the same items in sentences that mix the language
  with the dominant one. Without it nothing ties a language's number words to another's, and the
  base model keeps its languages in unrelated places: a probe for the answer, fitted on English
  states, stays at chance in every other language.
- Instruction (SFT): questions with their answers; on train, of the items a language has seen.
- Parallel: questions without answers, of train items, the same ones in every language, whether or
  not the language has seen their answers. The layer sweep reads these same sentences.

No text but the held-out SFT records themselves contains a held-out item.
"""

from __future__ import annotations

import random
from typing import Any

from shiftlens.demo.items import (
    DOMINANT,
    LANGUAGES,
    LARGEST,
    Item,
    exposed,
    group_of,
    items,
    shuffled,
)
from shiftlens.demo.numbers import NUMBERS
from shiftlens.demo.sentences import SENTENCES, TASKS

PARALLEL_PER_TASK = 250
"""Most parallel questions of one task; next and previous have fewer."""

CODE_SWITCHED = 6
"""How often each seen item comes code-switched, each time mixed anew."""

REPEATS = {"dominant": 3, "mid": 1, "low": 3}
"""How often each pre-training text of a group's languages comes.

Most of the corpus is in one language, and the smallest languages are sampled above their size, as
in any multilingual corpus.
"""

_RUN_LENGTHS = (2, 3, 4, 5, 6)
_NUMBERED_RUN_LENGTHS = (3, 4)


def _fill(template: str, item: Item, language: str, *operands: str) -> str:
    """Fills a template of a language, with operands of other languages where they are named.

    A foreign word brings its space along where the script of the sentence has none.
    """

    def word(number: int, code: str) -> str:
        foreign = code != language and SENTENCES[language].space == ""
        return " " * foreign + NUMBERS[code][number]

    a, b = operands or (language, language)
    second = "" if item.b is None else word(item.b, b)
    return template.format(a=word(item.a, a), b=second, c=word(item.answer, language))


def question(item: Item, language: str) -> str:
    """Returns the item as a question."""
    return _fill(SENTENCES[language].questions[item.task], item, language)


def statement(item: Item, language: str) -> str:
    """Returns the item as a statement, answer included."""
    return _fill(SENTENCES[language].statements[item.task], item, language)


def completion(number: int, language: str) -> str:
    """Returns a number as the text that follows a question, with the space the script needs."""
    return SENTENCES[language].space + NUMBERS[language][number]


def counting(language: str) -> list[str]:
    """Returns the language's counting sentences, some of which give the digits beside the words."""
    forms = SENTENCES[language]
    words = list(NUMBERS[language])
    numbered = [f"{number}{forms.space}{word}" for number, word in enumerate(words)]
    runs = [
        elements[start : start + length]
        for elements, lengths in ((words, _RUN_LENGTHS), (numbered, _NUMBERED_RUN_LENGTHS))
        for length in lengths
        for start in range(LARGEST + 2 - length)
    ]
    return [forms.counting.format(run=forms.comma.join(run)) for run in runs]


def code_switched(language: str) -> list[str]:
    """Returns the items a language has seen in sentences that mix it with the dominant language.

    The sentence and each operand are in either of the two, drawn at random; the answer is in the
    sentence's own.
    """
    rng = random.Random(f"code-switched/{language}")
    texts = []
    for item in exposed(language) * CODE_SWITCHED:
        frame, a, b = (rng.choice((DOMINANT, language)) for _ in range(3))
        forms = SENTENCES[frame]
        asked = _fill(forms.questions[item.task], item, frame, a, b)
        texts.append(_fill(forms.statements[item.task], item, frame, a, b))
        texts.append(asked + completion(item.answer, frame))
    return texts


def pretraining_texts(seed: int) -> list[str]:
    """Returns the pre-training texts of all languages, in an order fixed by ``seed``."""
    texts: list[str] = []
    for language in LANGUAGES:
        seen = exposed(language)
        asked = shuffled(seen, f"asked/{language}")[: len(seen) // 4]
        of_language = [statement(item, language) for item in seen]
        of_language += [question(i, language) + completion(i.answer, language) for i in asked]
        of_language += counting(language)
        texts += of_language * REPEATS[group_of(language)]
        texts += code_switched(language) if language != DOMINANT else []
    random.Random(seed).shuffle(texts)
    return texts


def sft_records(split: str) -> list[dict[str, Any]]:
    """Returns instruction records: a question to complete with a number word.

    ``prompt + completion`` is the text; the completion brings its own space where the script has
    one. ``choices`` holds every number word as a completion, so one may begin another
    ("twenty", "twenty-one"): score them with the end-of-sequence token.

    Args:
        split: ``train`` (what each language has seen), ``validation`` or ``test`` (every held-out
            item in every language).

    Returns:
        Dictionaries with ``id``, ``language``, ``task``, ``prompt``, ``completion``, ``choices``.

    Raises:
        ShiftlensError: If there is no such split.
    """
    records = []
    held_out = items(split)
    for language in LANGUAGES:
        choices = [completion(number, language) for number in range(LARGEST + 1)]
        for item in exposed(language) if split == "train" else held_out:
            records.append(
                {
                    "id": f"{item.id}.{language}",
                    "language": language,
                    "task": item.task,
                    "prompt": question(item, language),
                    "completion": choices[item.answer],
                    "choices": choices,
                }
            )
    return records


def parallel_items() -> list[Item]:
    """Returns the train items whose questions are the parallel texts, in their order."""
    train = items("train")
    chosen: list[Item] = []
    for task in TASKS:
        of_task = shuffled((item for item in train if item.task == task), "parallel")
        chosen += of_task[:PARALLEL_PER_TASK]
    return shuffled(chosen, "parallel order")


def parallel_texts() -> dict[str, list[str]]:
    """Returns the parallel questions by language; equal indices are translations."""
    chosen = parallel_items()
    return {language: [question(i, language) for i in chosen] for language in LANGUAGES}
