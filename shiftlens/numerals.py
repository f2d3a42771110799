"""Numbers in running text, in the digits and with the separators of any language."""

import re
from decimal import Decimal

_NUMBER = re.compile(
    r"""
    (?P<sign>(?<![\w)])[-−])?
    (?P<whole>
        (?<!\d)\d{1,3}(?P<mark>[.,，٬'’ \u00a0\u2009\u202f])\d{3}(?:(?P=mark)\d{3})*(?!\d)
      | (?<!\d)\d{1,2}(?:,\d{2})+,\d{3}(?!\d)
      | \d+
    )
    (?:[.,٫](?P<part>\d+))?
    """,
    re.VERBOSE,
)


def whole_number(text: str) -> int | None:
    """Read a text that is one whole number and nothing else.

    Args:
        text: Such as ``1,200``; surrounding space does not count.

    Returns:
        The number, or None where the text is anything else.
    """
    found = _NUMBER.fullmatch(text.strip())
    value = found and _value(found)
    return int(value) if value is not None and value == value.to_integral_value() else None


def last_number(text: str) -> Decimal | None:
    """Find the last number in a text, which is what a chain of thought ends with.

    Digits of every script count (১২, ౧౨, ๑๒). A point, comma, apostrophe or space before exactly
    three digits parts thousands (1,200; 1.200; 1 200), as do the commas of 1,20,000; any other
    point or comma before digits begins the decimals. A minus right behind a digit, letter or
    closing parenthesis is an operator. Numbers in words or ideographs are not read.

    Args:
        text: An answer in any language.

    Returns:
        Its value, exact, or None where there is no number.
    """
    found = list(_NUMBER.finditer(text))
    return _value(found[-1]) if found else None


def _value(found: re.Match[str]) -> Decimal:
    head, *groups = re.split(r"\D", found["whole"])
    part = found["part"] or "0"
    if groups and not int(head):  # 0.125 has decimals, not thousands
        groups, part = [], "".join(groups)
    value = Decimal(f"{head}{''.join(groups)}.{part}")
    return -value if found["sign"] else value
