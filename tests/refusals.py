"""Saying that something is refused in one line."""

from contextlib import contextmanager

import pytest

from shiftlens.errors import ShiftlensError


@contextmanager
def refused(*words):
    """The error is one line that holds the words."""
    with pytest.raises(ShiftlensError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
