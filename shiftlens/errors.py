"""The one error that shiftlens raises for a mistake the user can mend."""

import re

_SECRET = re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}|(?<=://)[^/@\s]+(?=@)")
LONGEST = 2_000
"""Most characters of a message; of a longer one the middle is left out."""


def without_secrets(text: str) -> str:
    """A text with the tokens of the Hugging Face hub and the passwords of URLs blotted out."""
    return _SECRET.sub("***", text)


class ShiftlensError(ValueError):
    """A user's mistake: the message says what was wrong, where, and what to do.

    The command line prints it as a single line on stderr and exits with code 2.
    """

    def __init__(self, message: str):
        message = without_secrets(message)
        half = LONGEST // 2
        short = len(message) <= LONGEST
        super().__init__(message if short else f"{message[:half]} [...] {message[-half:]}")
