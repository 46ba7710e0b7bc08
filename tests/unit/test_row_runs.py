"""Rows of token ids in runs of a graph: none larger than the limit, and each row's answer in its place."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pawl.classifier import RUN_TOKENS, run_rows


class Sums:
    """A graph that says of each row the sum of its ids and how many there are."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        ids, mask = feed["input_ids"], feed["attention_mask"]
        self.shapes.append(ids.shape)
        found = {"sum": (ids * mask).sum(1), "count": mask.sum(1, keepdims=True)}
        return [found[name] for name in outputs]


@given(st.lists(st.integers(1, RUN_TOKENS), min_size=1, max_size=64))
def test_no_run_has_more_tokens_than_the_limit_and_every_row_gets_its_own_answer(lengths: list[int]) -> None:
    session = Sums()
    rows = [[place + 1] * length for place, length in enumerate(lengths)]

    sums, counts = run_rows(session, ["sum", "count"], rows)

    assert max(height * width for height, width in session.shapes) <= RUN_TOKENS
    assert sums.tolist() == [sum(row) for row in rows]
    assert counts.tolist() == [[length] for length in lengths]


def test_rows_that_fit_go_together_and_what_one_run_cannot_hold_goes_in_few() -> None:
    together, apart = Sums(), Sums()

    run_rows(together, ["sum"], 64 * [[1] * (RUN_TOKENS // 64)])
    run_rows(apart, ["sum"], 64 * [[1] * 256])

    assert together.shapes == [(64, RUN_TOKENS // 64)]
    assert apart.shapes == 64 * 256 // RUN_TOKENS * [(RUN_TOKENS // 256, 256)]


def test_a_row_longer_than_the_limit_runs_alone() -> None:
    session = Sums()

    (sums,) = run_rows(session, ["sum"], [[1], [1] * (RUN_TOKENS + 1), [2]])

    assert session.shapes == [(1, 1), (1, RUN_TOKENS + 1), (1, 1)]
    assert np.array_equal(sums, [1, RUN_TOKENS + 1, 2])
