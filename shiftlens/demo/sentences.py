"""The sentences of the counting world: questions, statements and counting, per language.

``{a}`` and ``{b}`` are the operands, ``{c}`` the answer, which ends every statement that the
language's word order lets it end. In languages with capitals no number word opens a sentence, so
each has one spelling.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sentences:
    """The sentence templates of one language.

    Attributes:
        questions: Task name to question template.
        statements: Task name to statement template.
        counting: Template of a counting sentence, with ``{run}`` for the numbers.
        comma: What stands between the numbers of a run.
        space: What stands between a question and its answer.
    """

    questions: dict[str, str]
    statements: dict[str, str]
    counting: str
    comma: str = ", "
    space: str = " "


TASKS = ("next", "previous", "larger", "smaller", "plus")
"""The tasks, in the order in which the templates below list them."""


def _by_task(*templates: str) -> dict[str, str]:
    return dict(zip(TASKS, templates, strict=True))


SENTENCES: dict[str, Sentences] = {
    "en": Sentences(
        _by_task(
            "Which number comes after {a}?",
            "Which number comes before {a}?",
            "Which number is larger, {a} or {b}?",
            "Which number is smaller, {a} or {b}?",
            "How much is {a} plus {b}?",
        ),
        _by_task(
            "After {a} comes {c}.",
            "Before {a} comes {c}.",
            "Of {a} and {b}, the larger is {c}.",
            "Of {a} and {b}, the smaller is {c}.",
            "The result of {a} plus {b} is {c}.",
        ),
        "We count: {run}.",
    ),
    "es": Sentences(
        _by_task(
            "¿Qué número viene después de {a}?",
            "¿Qué número viene antes de {a}?",
            "Entre {a} y {b}, ¿qué número es mayor?",
            "Entre {a} y {b}, ¿qué número es menor?",
            "¿Cuánto es {a} más {b}?",
        ),
        _by_task(
            "Después de {a} viene {c}.",
            "Antes de {a} viene {c}.",
            "Entre {a} y {b}, el número mayor es {c}.",
            "Entre {a} y {b}, el número menor es {c}.",
            "El resultado de {a} más {b} es {c}.",
        ),
        "Contamos: {run}.",
    ),
    "de": Sentences(
        _by_task(
            "Welche Zahl kommt nach {a}?",
            "Welche Zahl kommt vor {a}?",
            "Welche Zahl ist größer, {a} oder {b}?",
            "Welche Zahl ist kleiner, {a} oder {b}?",
            "Wie viel ist {a} plus {b}?",
        ),
        _by_task(
            "Nach {a} kommt {c}.",
            "Vor {a} kommt {c}.",
            "Von {a} und {b} ist die größere Zahl {c}.",
            "Von {a} und {b} ist die kleinere Zahl {c}.",
            "Das Ergebnis von {a} plus {b} ist {c}.",
        ),
        "Wir zählen: {run}.",
    ),
    "ru": Sentences(
        _by_task(
            "Какое число идёт после числа {a}?",
            "Какое число идёт перед числом {a}?",
            "Какое число больше, {a} или {b}?",
            "Какое число меньше, {a} или {b}?",
            "Сколько будет {a} плюс {b}?",
        ),
        _by_task(
            "После числа {a} идёт {c}.",
            "Перед числом {a} идёт {c}.",
            "Из чисел {a} и {b} большее — {c}.",
            "Из чисел {a} и {b} меньшее — {c}.",
            "Как известно, {a} плюс {b} будет {c}.",
        ),
        "Считаем: {run}.",
    ),
    "ja": Sentences(
        _by_task(
            "{a}の次の数は何ですか？",
            "{a}の前の数は何ですか？",
            "{a}と{b}ではどちらが大きいですか？",
            "{a}と{b}ではどちらが小さいですか？",
            "{a}足す{b}はいくつですか？",
        ),
        _by_task(
            "{a}の次の数は{c}です。",
            "{a}の前の数は{c}です。",
            "{a}と{b}では、大きいほうは{c}です。",
            "{a}と{b}では、小さいほうは{c}です。",
            "{a}足す{b}は{c}です。",
        ),
        "数えます：{run}。",
        comma="、",
        space="",
    ),
    "fi": Sentences(
        _by_task(
            "Mikä luku tulee luvun {a} jälkeen?",
            "Mikä luku tulee ennen lukua {a}?",
            "Kumpi luku on suurempi, {a} vai {b}?",
            "Kumpi luku on pienempi, {a} vai {b}?",
            "Paljonko on {a} plus {b}?",
        ),
        _by_task(
            "Luvun {a} jälkeen tulee {c}.",
            "Ennen lukua {a} tulee {c}.",
            "Luvuista {a} ja {b} suurempi on {c}.",
            "Luvuista {a} ja {b} pienempi on {c}.",
            "Tiedämme, että {a} plus {b} on {c}.",
        ),
        "Laskemme: {run}.",
    ),
    "tr": Sentences(
        _by_task(
            "Hangi sayı {a} sayısından sonra gelir?",
            "Hangi sayı {a} sayısından önce gelir?",
            "Sayılar {a} ve {b} ise hangisi daha büyüktür?",
            "Sayılar {a} ve {b} ise hangisi daha küçüktür?",
            "Acaba {a} artı {b} kaç eder?",
        ),
        _by_task(
            "Sayarken {a} sayısından sonra {c} gelir.",
            "Sayarken {a} sayısından önce {c} gelir.",
            "Sayılar {a} ve {b} ise büyük olan {c} olur.",
            "Sayılar {a} ve {b} ise küçük olan {c} olur.",
            "Bilindiği gibi {a} artı {b} toplam {c} eder.",
        ),
        "Sayıyoruz: {run}.",
    ),
    "ko": Sentences(
        _by_task(
            "숫자 {a} 다음의 수는 무엇입니까?",
            "숫자 {a} 앞의 수는 무엇입니까?",
            "숫자 {a}하고 {b} 중에서 더 큰 수는 무엇입니까?",
            "숫자 {a}하고 {b} 중에서 더 작은 수는 무엇입니까?",
            "덧셈 {a} 더하기 {b}의 값은 얼마입니까?",
        ),
        _by_task(
            "숫자 {a} 다음의 수는 {c}입니다.",
            "숫자 {a} 앞의 수는 {c}입니다.",
            "숫자 {a}하고 {b} 중에서 더 큰 수는 {c}입니다.",
            "숫자 {a}하고 {b} 중에서 더 작은 수는 {c}입니다.",
            "덧셈 {a} 더하기 {b}의 값은 {c}입니다.",
        ),
        "세어 봅시다: {run}.",
    ),
    "fa": Sentences(
        _by_task(
            "بعد از {a} چه عددی می‌آید؟",
            "قبل از {a} چه عددی می‌آید؟",
            "کدام عدد بزرگ‌تر است، {a} یا {b}؟",
            "کدام عدد کوچک‌تر است، {a} یا {b}؟",
            "حاصل {a} به علاوه {b} چند است؟",
        ),
        _by_task(
            "بعد از {a}، {c} می‌آید.",
            "قبل از {a}، {c} می‌آید.",
            "میان عدد {a} و عدد {b}، عدد بزرگ‌تر {c} است.",
            "میان عدد {a} و عدد {b}، عدد کوچک‌تر {c} است.",
            "حاصل {a} به علاوه {b} برابر است با {c}.",
        ),
        "می‌شماریم: {run}.",
        comma="، ",
    ),
}
"""Templates by BCP-47 code."""
