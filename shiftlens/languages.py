"""Language codes: BCP-47 tags checked, canonicalised and named."""

from __future__ import annotations

from collections.abc import Sequence

from shiftlens.errors import ShiftlensError

LONGEST_CODE = 60
"""Most characters that a language is looked for in."""

DOMINANT = "en"

_NO_SINGLE_LANGUAGE = (None, "mul", "zxx")


def language_code(text: str) -> str:
    """Check a BCP-47 code and write it canonically.

    Args:
        text: A code such as `en`, `PT-br` or `iw`.

    Returns:
        The canonical code: here `en`, `pt-BR` and `he`.

    Raises:
        ShiftlensError: If `text` is not a registered BCP-47 code of a language.
    """
    import langcodes

    if _is_code(text):
        return langcodes.standardize_tag(text)
    suggestion = _suggest(text)
    advice = (
        f"did you mean {suggestion!r}?"
        if suggestion
        else "use a code such as 'en', 'pt-BR' or 'zh-Hans'"
    )
    raise ShiftlensError(f"{text!r} is not a BCP-47 language code; {advice}")


def language_name(code: str) -> str:
    """Name a language in English.

    Args:
        code: A BCP-47 code.

    Returns:
        The display name, such as `Spanish` for `es`.

    Raises:
        ShiftlensError: If `code` is not a registered BCP-47 code of a language.
    """
    import langcodes

    return langcodes.Language.get(language_code(code)).display_name("en")


def language_list(value: str | Sequence[str]) -> tuple[str, ...]:
    """Read a list of languages, keeping its order.

    Args:
        value: Codes separated by commas, as in `en,es,fr`, or a sequence of codes.

    Returns:
        The canonical codes.

    Raises:
        ShiftlensError: If the list is empty, a code is not valid, or two codes name one language.
    """
    written = [item.strip() for item in (value.split(",") if isinstance(value, str) else value)]
    if not any(written):
        raise ShiftlensError("the list of languages is empty; give codes such as 'en,es,fr'")
    seen: dict[str, str] = {}
    for item in written:
        code = language_code(item)
        if code in seen:
            raise ShiftlensError(
                f"language {code!r} is listed twice (as {seen[code]!r} and {item!r}); list it once"
            )
        seen[code] = item
    return tuple(seen)


def _is_code(text: str) -> bool:
    """Tell whether a text is a registered, hyphenated code of one language."""
    import langcodes

    return (
        len(text) <= LONGEST_CODE
        and text.replace("-", "").isalnum()
        and langcodes.tag_is_valid(text)
        and langcodes.Language.get(text).language not in _NO_SINGLE_LANGUAGE
    )


def _suggest(text: str) -> str | None:
    """Find the code that a wrongly written one most likely stands for."""
    import langcodes

    hyphenated = text.strip().replace("_", "-")
    if _is_code(hyphenated):
        return langcodes.standardize_tag(hyphenated)
    if not hyphenated.isprintable() or len(hyphenated) > LONGEST_CODE:
        return None  # a giant text takes minutes to be likened to every name
    try:
        return langcodes.find(hyphenated).to_tag()
    except LookupError:
        return None
