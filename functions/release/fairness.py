"""Whether groups of people fare alike with the candidate: a gate for each attribute of the holdout's rows.

Where the policy names favourable labels, a decision is getting one of them or not, and limits are absolute. Where it
names none, no label is better than another: then no gap between groups may grow beyond the live version's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pawl.fairness import (
    Codes,
    Confusion,
    Floats,
    accuracy_difference,
    clarify,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
)
from pawl.intervals import Interval, draws, percentiles
from release.answers import Answers, Both
from release.gate import Gate, rounded, spoken
from release.policy import GatePolicy

_LEAST_ROWS_A_RATE = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """One measure of how differently groups fare: the candidate's, the live version's, and what may pass.

    `interval` is of what is held against `limit`: of the rise over the live version, or of the value itself.
    """

    name: str
    value: float
    live: float
    interval: Interval
    limit: float
    is_rise: bool
    is_ratio: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there were rows enough: of every label in two groups, and of anybody who got a favourable one."""
        return not np.isnan([self.value, self.live, *self.interval]).any()

    @property
    def passed(self) -> bool:
        """Not surely beyond the limit."""
        return not (self.interval[1] < self.limit if self.is_ratio else self.interval[0] > self.limit)

    @property
    def excess(self) -> float:
        """How far it lies beyond the limit; negative within."""
        held = self.value - self.live if self.is_rise else self.value
        return (self.limit - held) if self.is_ratio else (held - self.limit)

    def __str__(self) -> str:
        against = f"the live version's {self.live:.4f}" if self.is_rise else f"{self.limit:g}"
        return f"{self.name} {self.value:.4f} against {against}"


def fairness_gates(both: Both, policy: GatePolicy) -> list[Gate]:
    """A gate for each attribute whose groups must fare alike; what the policy names and no row has is refused.

    A name that is misspelt would else protect nobody, and say so in no verdict.
    """
    found = sorted({attribute for row in both.rows for attribute in row.slices})
    labels = {*both.new.labels, *both.old.labels, *(row.label for row in both.rows)}
    unknown = [*_unknown("attribute", policy.protected, found), *_unknown("label", policy.favourable, labels)]
    if unknown:
        return unknown
    attributes = policy.protected or tuple(found)
    if not attributes:
        return [Gate("fairness", True, "no attribute of people or their texts is known", "nothing without one")]
    return [fairness_gate(both, attribute, policy) for attribute in attributes]


def _unknown(what: str, named: Iterable[str], known: Iterable[str]) -> list[Gate]:
    if missing := sorted({*named} - {*known}):
        return [
            Gate(
                "fairness",
                False,
                f"no {what} {', '.join(missing)}",
                f"one there is: {', '.join(sorted(known)) or 'none'}",
            )
        ]
    return []


def fairness_gate(both: Both, attribute: str, policy: GatePolicy) -> Gate:
    """No gap between the groups of one attribute is surely too wide."""
    name = f"fairness:{attribute}"
    values = [row.slices.get(attribute, "") for row in both.rows]
    names = sorted(each for each in set(values) - {""} if values.count(each) >= policy.slice_minimum_rows)
    if len(names) < 2:
        told = f"{len(names)} groups of {policy.slice_minimum_rows} rows or more"
        return Gate(name, True, told, "nothing below 2 groups")
    part = both.where(np.array([value in names for value in values]))
    groups = np.array([names.index(row.slices[attribute]) for row in part.rows])
    gaps = _gaps(part, groups, policy)
    worst = max(gaps, key=lambda gap: gap.excess)
    failed = [gap for gap in gaps if not gap.passed]
    return Gate(
        name,
        not failed,
        "; ".join(map(str, failed)) or f"{worst}, {len(names)} groups",
        _wanted(policy),
        rounded(worst.value),
        rounded(worst.limit + (worst.live if worst.is_rise else 0)),
        _evidence(part, groups, names, gaps, policy),
    )


def _gaps(both: Both, groups: Codes, policy: GatePolicy) -> list[Gap]:
    drawn = draws(len(both.rows), policy.resamples, policy.seed)
    new, old = (_confusions(both, each, groups, policy, drawn) for each in (both.new, both.old))
    shares = _accuracies(both.new, groups, drawn), _accuracies(both.old, groups, drawn)
    gaps = [_rise("accuracy gap", shares[0], shares[1], policy)]
    for name, measure, limit in (
        ("demographic parity difference", demographic_parity_difference, policy.demographic_parity_limit),
        ("equalized odds difference", equalized_odds_difference, policy.equalized_odds_limit),
    ):
        whole = float(measure(new[0])), float(measure(old[0]))
        resampled = measure(new[1]), measure(old[1])
        gaps.append(_rise(name, (whole[0], resampled[0]), (whole[1], resampled[1]), policy))
        if policy.favourable:
            gaps.append(Gap(name, *whole, percentiles(resampled[0], policy.confidence), limit, False))
    if policy.favourable:
        ratios = float(demographic_parity_ratio(new[0])), float(demographic_parity_ratio(old[0]))
        ends = percentiles(demographic_parity_ratio(new[1]), policy.confidence)
        gaps.append(Gap("disparate impact", *ratios, ends, policy.disparate_impact_least, False, True))
    return [gap for gap in gaps if gap.is_known]


def _rise(name: str, new: tuple[float, Floats], old: tuple[float, Floats], policy: GatePolicy) -> Gap:
    ends = percentiles(new[1] - old[1], policy.confidence)
    return Gap(name, new[0], old[0], ends, policy.fairness_margin, True)


def _accuracies(answers: Answers, groups: Codes, drawn: Floats) -> tuple[float, Floats]:
    whole = float(accuracy_difference(groups, answers.right))
    return whole, accuracy_difference(groups, answers.right, drawn)


def _confusions(
    both: Both, answers: Answers, groups: Codes, policy: GatePolicy, drawn: Floats
) -> tuple[Confusion, Confusion]:
    """The candidate's or the live version's counts, whole and resampled, of the outcomes that matter."""
    truth, told, labels = _codes(both, answers, policy)
    whole = Confusion.of(groups, truth, told, labels)
    resampled = Confusion.of(groups, truth, told, labels, drawn)
    if policy.favourable:
        return whole.of_label(1), resampled.of_label(1)
    thin = whole.thin(_LEAST_ROWS_A_RATE)
    return whole.without(thin), resampled.without(thin)


def _codes(both: Both, answers: Answers, policy: GatePolicy) -> tuple[Codes, Codes, int]:
    """True and given outcomes as codes: of all labels, or whether the label is favourable."""
    truth = [row.label for row in both.rows]
    told = [answers.labels[int(code)] for code in answers.given]
    if policy.favourable:
        good = set(policy.favourable)
        return np.array([each in good for each in truth], int), np.array([each in good for each in told], int), 2
    names = sorted({*both.new.labels, *both.old.labels, *truth})
    place = {name: code for code, name in enumerate(names)}
    return np.array([place[each] for each in truth]), np.array([place[each] for each in told]), len(names)


def _wanted(policy: GatePolicy) -> str:
    rise = f"no gap surely more than {policy.fairness_margin} wider than the live version's"
    if not policy.favourable:
        return rise
    return (
        f"{rise}; of {', '.join(policy.favourable)} demographic parity within {policy.demographic_parity_limit}, "
        f"equalized odds within {policy.equalized_odds_limit}, disparate impact from {policy.disparate_impact_least}"
    )


def _evidence(both: Both, groups: Codes, names: list[str], gaps: list[Gap], policy: GatePolicy) -> dict[str, Any]:
    found: dict[str, Any] = {
        "groups": {
            name: [int((groups == code).sum()), rounded(both.new.right[groups == code].mean())]
            for code, name in enumerate(names)
        },
        "gaps": [
            {
                "measure": gap.name + (" rise" if gap.is_rise else ""),
                "value": rounded(gap.value),
                "live": rounded(gap.live),
                "interval": spoken(gap.interval),
                "limit": gap.limit,
            }
            for gap in gaps
        ],
    }
    if policy.favourable:
        truth, told, _ = _codes(both, both.new, policy)
        confusion = Confusion.of(groups, truth, told, 2)
        measured = {name: clarify(confusion, code, 1) for code, name in enumerate(names)}
        found["clarify"] = {
            name: {key: rounded(value) for key, value in each.items() if not np.isnan(value)}
            for name, each in measured.items()
        }
    return found
