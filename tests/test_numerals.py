"""Numbers as people write them, beside Python's own reading of the digits."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlens.numerals import last_number, whole_number

NUMBERS = st.integers(0, 10**12)
SCRIPTS = {"latin": "0", "bengali": "০", "telugu": "౦", "thai": "๐", "arabic": "٠", "wide": "０"}


def written(number, zero):
    return "".join(chr(ord(zero) + int(digit)) for digit in str(number))


@pytest.mark.parametrize("zero", SCRIPTS.values(), ids=SCRIPTS)
@given(number=NUMBERS)
def test_the_digits_of_a_script_are_read(zero, number):
    text = written(number, zero)
    assert all(unicodedata.category(digit) == "Nd" for digit in text)
    assert last_number(f"7 + x = {text}।") == whole_number(f" {text} ") == number


@pytest.mark.parametrize("mark", [",", ".", " ", "\u00a0", "\u202f", "\u2009", "'", "’", "，", "٬"])
@given(number=NUMBERS)
def test_thousands_are_parted_as_any_language_parts_them(mark, number):
    assert last_number(f"2 {mark} x {number:,}".replace(",", mark)) == number


@given(number=NUMBERS, cents=st.integers(0, 99), sign=st.sampled_from(["", "-", "−"]))
def test_decimals_are_kept(number, cents, sign):
    expected = Decimal(f"{'-' * bool(sign)}{number}.{cents:02}")
    english, german = f"{number:,}.{cents:02}", f"{number:_},{cents:02}".replace("_", ".")
    assert last_number(f"= {sign}{english}.") == last_number(f"({sign}{german})") == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So 23 - 15 = 8 dollars. The answer is 8.", 8),
        ("The answer is $1,200.", 1200),
        ("**18**", 18),
        (r"\boxed{18}", 18),
        ("18%, then", 18),
        ("১২,৩৪,৫৬৭ টাকা", 1234567),
        ("10,00,000", 1000000),
        ("答えは18です。", 18),
        ("उत्तर −5", -5),
        ("10-15", 15),
        ("(3)-4", 4),
        ("x-4", 4),
        ("from 2020 150 more", 150),
        ("0.125", Decimal("0.125")),
        ("0,125", Decimal("0.125")),
        ("1.2345", Decimal("1.2345")),
        ("12,5", Decimal("12.5")),
        ("1.234.567,8", Decimal("1234567.8")),
        ("18.0", 18),
        ("18, and no more", 18),
        ("5²", 5),
        ("eighteen", None),
        ("", None),
    ],
)
def test_the_last_number_of_an_answer(text, value):
    assert last_number(text) == value


@pytest.mark.parametrize("text", ["", "eight", "8 apples", "7 8", "1.5", "1,2,3", "8."])
def test_what_is_no_whole_number(text):
    assert whole_number(text) is None


@pytest.mark.parametrize(("text", "value"), [("-12", -12), ("2,125", 2125), ("18.0", 18)])
def test_what_is_a_whole_number(text, value):
    assert whole_number(text) == value
