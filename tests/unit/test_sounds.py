"""Bytes of clips that follow each other are not copied; either way they are those of the rows."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from speechmill.publish.sounds import _take

VALUES = st.lists(st.one_of(st.none(), st.binary(max_size=5)), min_size=1, max_size=12)


@given(VALUES, st.data())
def test_values_are_those_of_the_rows(values: list[bytes | None], data: st.DataObject) -> None:
    array = pa.array([b"before", *values], pa.binary())[1:]
    known = [at for at, value in enumerate(values) if value is not None]
    rows = sorted(data.draw(st.sets(st.sampled_from(known)))) if known else []
    if rows:
        taken = _take(array, np.array(rows))
        taken.validate(full=True)
        assert taken.to_pylist() == [values[at] for at in rows]


def test_the_buffer_is_shared_where_only_nulls_lie_between() -> None:
    array = pa.array([b"one", None, b"two", b"three"], pa.binary())
    assert _take(array, np.array([0, 2, 3])).buffers()[2].address == array.buffers()[2].address
    assert _take(array, np.array([0, 3])).to_pylist() == [b"one", b"three"]
