import numpy as np
import pytest

from pawl.alignment import OTHERS, align, binned
from pawl.categories import CategorySketch
from pawl.errors import IncompatibleProfiles
from pawl.floats import FloatSketch
from pawl.numeric import BINS, NumericSketch
from pawl.stats import kolmogorov_smirnov


def _floats(values: object) -> FloatSketch:
    sketch = FloatSketch()
    sketch.update(np.asarray(values, float))
    return sketch


def _bins(values: object, low: float, high: float) -> NumericSketch:
    sketch = NumericSketch.between(low, high)
    sketch.update(np.asarray(values, float))
    return sketch


def _names(values: list[str], known: list[str] | None = None) -> CategorySketch:
    sketch = CategorySketch() if known is None else CategorySketch.knowing(known)
    sketch.update(values)
    return sketch


def test_equal_bins_stand_side_by_side() -> None:
    pair = align(_bins([1, 2], 0, BINS), _bins([2, 3], 0, BINS))

    assert pair.positions is not None
    assert pair.positions[np.flatnonzero(pair.old)].tolist() == [1.5, 2.5]
    assert pair.positions[np.flatnonzero(pair.new)].tolist() == [2.5, 3.5]


def test_buckets_meet_at_the_lower_level() -> None:
    generator = np.random.default_rng(1)
    fine, coarse = _floats([1.0, 1.001, -4.0, 0.0]), _floats(generator.normal(0, 1, 20_000))
    assert fine.level > coarse.level

    for old, new in ((fine, coarse), (coarse, fine)):
        pair = align(old, new)

        assert pair.positions is not None
        assert (np.diff(pair.positions) > 0).all()
        assert (pair.old.sum(), pair.new.sum()) == (old.rows, new.rows)
        assert (pair.old + pair.new > 0).all()


def test_a_ks_distance_over_buckets_is_exact_but_for_what_a_bucket_holds() -> None:
    generator = np.random.default_rng(2)
    old, new = generator.standard_cauchy(30_000), generator.standard_cauchy(30_000) * 1.1
    both = np.sort(np.concatenate((old, new)))
    cumulated = [np.searchsorted(np.sort(each), both, "right") / 30_000 for each in (old, new)]
    exact = float(np.abs(cumulated[0] - cumulated[1]).max())

    pair = align(_floats(old), _floats(new))
    distance, _ = kolmogorov_smirnov(pair.old, pair.new)

    assert distance == pytest.approx(exact, abs=0.001)


def test_buckets_go_into_the_bins_of_a_known_range_by_their_middles() -> None:
    values = [-5.0, 0.0, 0.5, 1.5, 99.9, 100.0, 1e9]
    known = _bins(values, 0, 100)

    assert binned(_floats(values), known).tolist() == known.counts.tolist()
    assert align(known, _floats(values)).new.tolist() == known.counts.tolist()
    assert align(_floats(values), known).old.tolist() == known.counts.tolist()


def test_names_that_both_keep_stand_by_themselves_and_all_new_ones_together() -> None:
    known = ["a", "b"]
    pair = align(_names(["a", "b", "b"], known), _names(["b", "x", "y", "z"], known))

    assert pair.names == ("a", "b", OTHERS)
    assert (pair.old.tolist(), pair.new.tolist()) == ([1, 2, 0], [0, 1, 3])
    assert pair.positions is None


def test_others_that_the_reference_has_stand_by_bucket() -> None:
    pair = align(_names(["a", "x", "x"], ["a"]), _names(["a", "x", "never seen"], ["a"]))

    assert (len(pair.names), pair.names[0], pair.names[2]) == (3, "a", OTHERS)
    assert (pair.old.tolist(), pair.new.tolist()) == ([1, 2, 0], [1, 1, 1])


@pytest.mark.parametrize("known", [None, ["7", "8"]])
def test_no_row_is_lost_between_a_sketch_of_few_names_and_one_of_many(known: list[str] | None) -> None:
    few = _names(["7", "8", "nine"], known)
    many = _names([str(n) for n in range(5000)])
    assert many.level > 0

    for old, new in ((few, many), (many, few)):
        pair = align(old, new)
        assert (pair.old.sum(), pair.new.sum()) == (old.rows, new.rows)


def test_numbers_do_not_compare_with_names() -> None:
    with pytest.raises(IncompatibleProfiles, match="does not compare"):
        align(_floats([1.0]), _names(["a"]))
    with pytest.raises(IncompatibleProfiles, match="bins over"):
        align(_bins([1], 0, 1), _bins([1], 0, 2))
