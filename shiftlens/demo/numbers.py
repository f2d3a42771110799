"""The number words of the counting world: zero to twenty-nine in nine languages.

Words are joined as the language joins them when it counts: ``twenty-one``, ``einundzwanzig``,
``двадцать один``, ``二十一``.
"""

from __future__ import annotations

_WORDS = {
    "en": """
        zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve,
        thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty,
        twenty-one, twenty-two, twenty-three, twenty-four, twenty-five, twenty-six,
        twenty-seven, twenty-eight, twenty-nine
    """,
    "es": """
        cero, uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve, diez, once, doce,
        trece, catorce, quince, dieciséis, diecisiete, dieciocho, diecinueve, veinte,
        veintiuno, veintidós, veintitrés, veinticuatro, veinticinco, veintiséis, veintisiete,
        veintiocho, veintinueve
    """,
    "de": """
        null, eins, zwei, drei, vier, fünf, sechs, sieben, acht, neun, zehn, elf, zwölf,
        dreizehn, vierzehn, fünfzehn, sechzehn, siebzehn, achtzehn, neunzehn, zwanzig,
        einundzwanzig, zweiundzwanzig, dreiundzwanzig, vierundzwanzig, fünfundzwanzig,
        sechsundzwanzig, siebenundzwanzig, achtundzwanzig, neunundzwanzig
    """,
    "ru": """
        ноль, один, два, три, четыре, пять, шесть, семь, восемь, девять, десять, одиннадцать,
        двенадцать, тринадцать, четырнадцать, пятнадцать, шестнадцать, семнадцать,
        восемнадцать, девятнадцать, двадцать, двадцать один, двадцать два, двадцать три,
        двадцать четыре, двадцать пять, двадцать шесть, двадцать семь, двадцать восемь,
        двадцать девять
    """,
    "ja": """
        零, 一, 二, 三, 四, 五, 六, 七, 八, 九, 十, 十一, 十二, 十三, 十四, 十五,
        十六, 十七, 十八, 十九, 二十, 二十一, 二十二, 二十三,
        二十四, 二十五, 二十六, 二十七, 二十八, 二十九
    """,
    "fi": """
        nolla, yksi, kaksi, kolme, neljä, viisi, kuusi, seitsemän, kahdeksan, yhdeksän,
        kymmenen, yksitoista, kaksitoista, kolmetoista, neljätoista, viisitoista, kuusitoista,
        seitsemäntoista, kahdeksantoista, yhdeksäntoista, kaksikymmentä, kaksikymmentäyksi,
        kaksikymmentäkaksi, kaksikymmentäkolme, kaksikymmentäneljä, kaksikymmentäviisi,
        kaksikymmentäkuusi, kaksikymmentäseitsemän, kaksikymmentäkahdeksan,
        kaksikymmentäyhdeksän
    """,
    "tr": """
        sıfır, bir, iki, üç, dört, beş, altı, yedi, sekiz, dokuz, on, on bir, on iki, on üç,
        on dört, on beş, on altı, on yedi, on sekiz, on dokuz, yirmi, yirmi bir, yirmi iki,
        yirmi üç, yirmi dört, yirmi beş, yirmi altı, yirmi yedi, yirmi sekiz, yirmi dokuz
    """,
    "ko": """
        영, 일, 이, 삼, 사, 오, 육, 칠, 팔, 구, 십, 십일, 십이, 십삼, 십사, 십오,
        십육, 십칠, 십팔, 십구, 이십, 이십일, 이십이, 이십삼,
        이십사, 이십오, 이십육, 이십칠, 이십팔, 이십구
    """,
    "fa": """
        صفر, یک, دو, سه, چهار, پنج, شش, هفت, هشت, نه, ده, یازده, دوازده, سیزده, چهارده,
        پانزده, شانزده, هفده, هجده, نوزده, بیست, بیست و یک, بیست و دو, بیست و سه, بیست و چهار,
        بیست و پنج, بیست و شش, بیست و هفت, بیست و هشت, بیست و نه
    """,
}

NUMBERS: dict[str, tuple[str, ...]] = {
    language: tuple(" ".join(words.split()).split(", ")) for language, words in _WORDS.items()
}
"""Number words by BCP-47 code; the word for ``n`` is at index ``n``."""
