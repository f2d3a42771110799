"""The one error that shiftlens raises for a mistake the user can mend."""


class ShiftlensError(ValueError):
    """A user's mistake: the message says what was wrong, where, and what to do.

    The command line prints it as a single line on stderr and exits with code 2.
    """
