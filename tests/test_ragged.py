"""Rows of unequal length in one array."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shiftlens.ragged import Ragged


@given(st.lists(st.lists(st.integers(0, 2**31 - 1))))
def test_it_reads_as_the_lists_it_was_made_of(rows):
    ragged = Ragged(rows, np.int32)
    assert list(ragged) == rows
    assert ragged == rows
    assert [ragged[i] for i in range(-len(rows), len(rows))] == rows + rows
    assert ragged[1::2] == rows[1::2]
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.values.nbytes == 4 * sum(map(len, rows))


def test_its_numbers_are_python_numbers():
    flags = Ragged([[True], [False, True]], bool)
    assert flags[1][0] is False
    assert flags != [[True], [True, True]]
