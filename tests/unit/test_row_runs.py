"""Rows of token ids: each is a run of the graph, and each row's answer stands in its place."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pawl.classifier import run_rows


class Sums:
    """A graph that says of each row the sum of its ids and how many there are."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        ids, mask = feed["input_ids"], feed["attention_mask"]
        assert (ids.dtype, mask.dtype, mask.shape) == (np.int64, np.int64, ids.shape)
        self.shapes.append(ids.shape)
        found = {"sum": (ids * mask).sum(1), "count": mask.sum(1, keepdims=True)}
        return [found[name] for name in outputs]


@given(st.lists(st.integers(1, 512), min_size=1, max_size=64))
def test_every_row_runs_alone_and_gets_its_own_answer(lengths: list[int]) -> None:
    session = Sums()
    rows = [[place + 1] * length for place, length in enumerate(lengths)]

    sums, counts = run_rows(session, ["sum", "count"], rows)

    assert session.shapes == [(1, length) for length in lengths]
    assert sums.tolist() == [sum(row) for row in rows]
    assert counts.tolist() == [[length] for length in lengths]
