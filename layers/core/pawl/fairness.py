"""Whether groups of people fare alike: fairlearn's measures under its names, and Clarify's under theirs.

All are computed from confusion counts by group and label, one label against the rest, so that a decision between two
outcomes is the case of two labels. A rate of no rows is unknown (NaN) and its group is left out of a comparison, where
fairlearn counts it as 0. Counts may be resampled: all leading axes are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows by group and label, shape (..., groups, labels): as `hit` (true positives), `false`, `missed`, `spared`."""

    hit: Floats
    false: Floats
    missed: Floats
    spared: Floats

    @classmethod
    def of(
        cls, groups: ArrayLike, truth: ArrayLike, predicted: ArrayLike, labels: int, draws: Floats | None = None
    ) -> Self:
        """Counted from codes of shape (rows,); `draws` (resamples, rows) counts each resample's rows instead."""
        group, true, told = (np.asarray(each, np.int64) for each in (groups, truth, predicted))
        size = int(group.max(initial=-1)) + 1
        count = draws if draws is not None else np.ones((1, group.size))
        in_group = np.eye(size)[group]  # (rows, groups)
        is_true, is_told = np.eye(labels)[true], np.eye(labels)[told]  # (rows, labels)

        def counted(marks: Floats) -> Floats:
            cells = (in_group[:, :, None] * marks[:, None, :]).reshape(group.size, size * labels)
            return (count @ cells).reshape(-1, size, labels)[0 if draws is None else slice(None)]

        hit, false = counted(is_true * is_told), counted((1 - is_true) * is_told)
        missed, spared = counted(is_true * (1 - is_told)), counted((1 - is_true) * (1 - is_told))
        return cls(hit, false, missed, spared)

    def rates(self) -> dict[str, Floats]:
        """Selection, true positive, false positive and accuracy rates, shape (..., groups, labels)."""
        rows = self.hit + self.false + self.missed + self.spared
        return {
            "selection": _share(self.hit + self.false, rows),
            "true_positive": _share(self.hit, self.hit + self.missed),
            "false_positive": _share(self.false, self.false + self.spared),
            "accuracy": _share(self.hit + self.spared, rows),
        }

    def thin(self, least: int) -> Bools:
        """Where a group has fewer than `least` rows of a label or beside it: the largest of many rates is chance."""
        return (self.hit + self.missed < least) | (self.false + self.spared < least)

    def without(self, unknown: Bools) -> "Confusion":
        """The same with the rates of some groups and labels unknown, shape (groups, labels)."""
        parts = (self.hit, self.false, self.missed, self.spared)
        return Confusion(*(np.where(unknown, np.nan, part) for part in parts))

    def of_label(self, label: int) -> "Confusion":
        """One label alone: of a decision between two outcomes, the one that people hope for."""
        parts = (self.hit, self.false, self.missed, self.spared)
        return Confusion(*(part[..., label : label + 1] for part in parts))


def demographic_parity_difference(confusion: Confusion) -> Floats:
    """The largest difference between groups in how often a label is given; the worst label; shape (...,).

    >>> alike = Confusion.of([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], 2)
    >>> float(demographic_parity_difference(alike))
    0.5
    """
    return _worst(_spread(confusion.rates()["selection"]))


def demographic_parity_ratio(confusion: Confusion) -> Floats:
    """The smallest ratio between groups of how often a label is given; below 0.8 the four-fifths rule is broken."""
    rates = confusion.rates()["selection"]
    return -_worst(-_share(_least(rates), _most(rates)))


def equalized_odds_difference(confusion: Confusion) -> Floats:
    """The largest difference between groups in true or false positive rate; the worst label (Hardt et al. 2016)."""
    rates = confusion.rates()
    odds = np.fmax(_spread(rates["true_positive"]), _spread(rates["false_positive"]))
    return _worst(odds)


def accuracy_difference(groups: ArrayLike, right: ArrayLike, draws: Floats | None = None) -> Floats:
    """The largest difference between groups in the share of right answers; Clarify's AD of the two furthest apart."""
    group, was_right = np.asarray(groups, np.int64), np.asarray(right, float)
    count = draws if draws is not None else np.ones((1, group.size))
    in_group = np.eye(int(group.max(initial=-1)) + 1)[group]
    shares = _share(count @ (in_group * was_right[:, None]), count @ in_group)  # (resamples, groups)
    found = _spread(shares[..., None])[..., 0]
    return found if draws is not None else found[0]


def clarify(confusion: Confusion, group: int, label: int) -> Mapping[str, float]:
    """SageMaker Clarify's post-training measures of one group (facet d) against all others (facet a) for one label.

    DPPL difference in positive proportions in predicted labels, DI disparate impact, AD accuracy difference, RD recall
    difference, SD specificity difference, DAR difference in acceptance rates, DRR in rejection rates, TE treatment
    equality. 0 is fair, for DI 1; NaN where a rate has no rows.

    >>> found = clarify(Confusion.of([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1], 2), group=0, label=1)
    >>> found["DPPL"], found["DI"], found["AD"]
    (0.5, 0.5, -0.5)
    """
    parts = (confusion.hit, confusion.false, confusion.missed, confusion.spared)
    hit_d, false_d, missed_d, spared_d = (float(part[group, label]) for part in parts)
    hit_a, false_a, missed_a, spared_a = (float(part[:, label].sum() - part[group, label]) for part in parts)
    rows_d, rows_a = hit_d + false_d + missed_d + spared_d, hit_a + false_a + missed_a + spared_a
    told_d, told_a = _ratio(hit_d + false_d, rows_d), _ratio(hit_a + false_a, rows_a)
    return {
        "DPPL": told_a - told_d,
        "DI": _ratio(told_d, told_a),
        "AD": _ratio(hit_a + spared_a, rows_a) - _ratio(hit_d + spared_d, rows_d),
        "RD": _ratio(hit_a, hit_a + missed_a) - _ratio(hit_d, hit_d + missed_d),
        "SD": _ratio(spared_d, spared_d + false_d) - _ratio(spared_a, spared_a + false_a),
        "DAR": _ratio(hit_a, hit_a + false_a) - _ratio(hit_d, hit_d + false_d),
        "DRR": _ratio(spared_d, spared_d + missed_d) - _ratio(spared_a, spared_a + missed_a),
        "TE": _ratio(missed_d, false_d) - _ratio(missed_a, false_a),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _spread(rates: Floats) -> Floats:
    """The largest less the smallest known rate of the groups, shape (..., labels); unknown where only one is known."""
    known = (~np.isnan(rates)).sum(axis=-2)
    return np.where(known > 1, _most(rates) - _least(rates), np.nan)


def _most(rates: Floats) -> Floats:
    return np.fmax.reduce(rates, axis=-2)


def _least(rates: Floats) -> Floats:
    return np.fmin.reduce(rates, axis=-2)


def _worst(by_label: Floats) -> Floats:
    return np.fmax.reduce(by_label, axis=-1)
