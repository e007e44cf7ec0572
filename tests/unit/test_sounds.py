"""Bytes of clips are not copied, and are those of the rows."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from speechmill.publish.sounds import _runs

VALUES = st.lists(st.one_of(st.none(), st.binary(max_size=5)), min_size=1, max_size=12)


@given(VALUES, st.data())
def test_values_are_those_of_the_rows(values: list[bytes | None], data: st.DataObject) -> None:
    array = pa.array([b"before", *values], pa.binary())[1:]
    known = [at for at, value in enumerate(values) if value is not None]
    rows = sorted(data.draw(st.sets(st.sampled_from(known)))) if known else []
    if rows:
        runs = list(_runs(array, np.array(rows)))
        assert [row for own, _ in runs for row in own] == rows
        for own, taken in runs:
            taken.validate(full=True)
            assert taken.to_pylist() == [values[at] for at in own]


def test_the_buffer_is_shared() -> None:
    array = pa.array([b"one", None, b"two", b"three"], pa.binary())
    for rows, parts in (([0, 2, 3], [[b"one", b"two", b"three"]]), ([0, 3], [[b"one"], [b"three"]])):
        runs = [taken for _, taken in _runs(array, np.array(rows))]
        assert [taken.to_pylist() for taken in runs] == parts
        assert {taken.buffers()[2].address for taken in runs} == {array.buffers()[2].address}
