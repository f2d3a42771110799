"""The one error that shiftlens raises for a mistake the user can mend."""

LONGEST = 2_000
"""Most characters of a message; of a longer one the middle is left out."""


class ShiftlensError(ValueError):
    """A user's mistake: the message says what was wrong, where, and what to do.

    The command line prints it as a single line on stderr and exits with code 2.
    """

    def __init__(self, message: str):
        half = LONGEST // 2
        short = len(message) <= LONGEST
        super().__init__(message if short else f"{message[:half]} [...] {message[-half:]}")
