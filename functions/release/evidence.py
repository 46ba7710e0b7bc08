"""What a canary goes by, counted once: feedback, how fast and how alike both versions answer, how familiar the traffic
is to either, what fails.

Each source is counted up to an instant that lies far enough back for its records to be there, from where it was counted
last: no look reads again what an earlier one has read. An answer counts once, however many people have rated it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.betting import tally_of
from pawl.errors import NotFound
from pawl.feedback import FeedbackTable
from pawl.floats import FloatSketch
from pawl.identity import unix_ms
from pawl.ledger import Ledger
from pawl.narrowing import is_list
from pawl.records import SHADOW
from pawl.registry import Registry
from pawl.sequential import CANDIDATE, LIVE
from pawl.traffic import Traffic
from release.failures import MINUTE_MS, Failures
from release.familiarity import Ranges, usual_ranges
from release.seen import Seen, numbers
from release.terms import CanaryPolicy, Scale
from release.trial import AGREEMENT, ANSWERED, DISAGREEMENT, FAMILIARITY, FEEDBACK, SPEED, Trial

Floats = NDArray[np.float64]
Window = tuple[int, int]
_LABEL, _AGREES = "label", "agrees"
_FAST_SHARE = 0.95
_HALF = 0.5
_KEPT_LABELS = 50


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts what happened since a trial was last looked at.

    How alike two versions answer is known without pairs: the labels that the candidate gave more often before are those
    that it is expected to give more often now. What it gives more of, live gives less of, and by as much as that at the
    least do their answers differ.
    """

    traffic: Traffic
    feedback: FeedbackTable
    notes: Ledger
    failures: Failures
    registry: Registry

    def count(self, trial: Trial, policy: CanaryPolicy, now_ms: int) -> Trial:
        """The trial with all that has come in; an answer that both arms could have given, by its time."""
        if trial.phase == "shadow":
            return self._count_shadow(trial, policy, now_ms)
        trial = self._count_feedback(trial, policy, now_ms)
        trial = self._count_traffic(trial, policy, now_ms)
        return self._count_failures(trial, now_ms)

    def _count_feedback(self, trial: Trial, policy: CanaryPolicy, now_ms: int) -> Trial:
        patience_ms = round(policy.feedback_minutes * 60_000)
        for window in windows(trial, "feedback", now_ms - patience_ms):
            said = list(self.feedback.answered(trial.model, *window))
            labelled = (_answer(item) for item in said if item.get("metric") == _LABEL)
            scores = score_answers(said, self.notes.notes(labelled), policy.metrics, patience_ms)
            trial = add(trial, FEEDBACK, [scores.get(each, []) for each in (trial.version, trial.live)])
            trial = _counted(trial, "feedback", window, (FEEDBACK,))
        return trial

    def _count_traffic(self, trial: Trial, policy: CanaryPolicy, now_ms: int) -> Trial:
        for window in windows(trial, "traffic", now_ms - round(policy.collect_minutes * 60_000)):
            trial = self._with_ranges(trial)
            new, old = (
                Seen.of(self.traffic.profiles(trial.model, version, *window), usual)
                for version, usual in zip((trial.version, trial.live), trial.usual or ({}, {}), strict=True)
            )
            if trial.slow_ms:
                trial = add_tallies(trial, SPEED, [new.not_above(trial.slow_ms), old.not_above(trial.slow_ms)])
            else:
                trial = _with_latencies(trial, old, policy)
            if trial.labels:
                frequent = {name for name, (by_new, by_old) in _shares(trial.labels).items() if by_new > by_old}
                trial = add_tallies(trial, AGREEMENT, [new.not_in(frequent), old.not_in(frequent)])
            if FAMILIARITY in trial.comparisons:
                trial = add_tallies(trial, FAMILIARITY, [new.familiar, old.familiar])
            trial = replace(trial, labels=_with_labels(trial.labels, new.labels, old.labels))
            trial = _counted(trial, "traffic", window, (SPEED, AGREEMENT, FAMILIARITY))
        return trial

    def _with_ranges(self, trial: Trial) -> Trial:
        """The trial with what is usual to either version, read once; with nothing where one has no reference.

        A trial that began before there was this figure goes on without it.
        """
        if trial.usual or FAMILIARITY not in trial.comparisons:
            return trial
        new, old = (self._usual(trial.model, version) for version in (trial.version, trial.live))
        return replace(trial, usual=(new, old) if new and old else ({}, {}))

    def _usual(self, model: str, version: str) -> Ranges:
        try:
            reference = self.registry.reference(model, version)
        except NotFound:
            return {}
        return usual_ranges(reference) if reference else {}

    def _count_failures(self, trial: Trial, now_ms: int) -> Trial:
        for window in windows(trial, "failures", (now_ms // MINUTE_MS - 3) * MINUTE_MS, MINUTE_MS):
            tallies = self.failures.of((trial.function_version, trial.baseline), *window)
            trial = _counted(add_tallies(trial, ANSWERED, tallies), "failures", window, (ANSWERED,), MINUTE_MS)
        return trial

    def _count_shadow(self, trial: Trial, policy: CanaryPolicy, now_ms: int) -> Trial:
        for window in windows(trial, "shadow", now_ms - round(policy.collect_minutes * 60_000)):
            tally = np.zeros(3)
            for profile in self.traffic.profiles(trial.model, trial.version + SHADOW, *window):
                agrees, counts = numbers(profile, _AGREES)
                ones = float(counts[agrees < _HALF].sum())
                tally += np.array([float(counts.sum()), ones, ones])
            ceiling = trial.ceilings[DISAGREEMENT].update(tally)
            trial = replace(trial, ceilings={**trial.ceilings, DISAGREEMENT: ceiling})
            trial = _counted(replace(trial, shadow_rows=trial.shadow_rows + int(tally[0])), "shadow", window, ())
        return trial


def windows(trial: Trial, source: str, until_ms: int, unit_ms: int = 1) -> Iterator[Window]:
    """What of a source is yet to be counted, cut where the share of the traffic changed.

    Of a source that knows whole units of time alone, a unit in which it changed counts to what was before, and once.
    """
    since_ms = _up(trial.until_ms[source], unit_ms)
    cuts = [since_ms, *(each for each in _shifts(trial, unit_ms) if since_ms < each < until_ms), until_ms]
    yield from (window for window in pairwise(cuts) if window[0] < window[1])


def score_answers(
    said: Sequence[Mapping[str, Any]],
    notes: Mapping[str, Mapping[str, Any]],
    scales: Mapping[str, Scale],
    patience_ms: int,
) -> dict[str, list[float]]:
    """How good each answer was found to be, from 0 to 1, by the version that gave it: the mean of what was said of it.

    `notes` are what collect left of labelled answers. What was said later than `patience_ms` after its answer is left
    out, so that an answer's time alone decides whether it counts, and not which version gave it.
    """
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for item in said:
        answer = _answer(item)
        score = _score(item, notes.get(answer), scales)
        if score is not None and unix_ms(item["given_at"]) < (int(answer, 16) >> 80) + patience_ms:
            found[item.get("model_version", ""), answer].append(score)
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for (version, _), each in sorted(found.items()):
        scores[version].append(sum(each) / len(each))
    return dict(scores)


def add(trial: Trial, name: str, values: Sequence[Sequence[float]]) -> Trial:
    """The trial with the values of both arms, candidate first, counted into a figure."""
    return add_tallies(trial, name, [tally_of(each) for each in values])


def add_tallies(trial: Trial, name: str, tallies: Sequence[Floats]) -> Trial:
    """The trial with the tallies of both arms, candidate first, counted into a figure."""
    return replace(trial, comparisons={**trial.comparisons, name: trial.comparisons[name].update(np.stack(tallies))})


def _shifts(trial: Trial, unit_ms: int) -> list[int]:
    return [_up(each, unit_ms) for each in trial.shifts_ms]


def _up(moment_ms: int, unit_ms: int) -> int:
    return -(-moment_ms // unit_ms) * unit_ms


def _counted(trial: Trial, source: str, window: Window, names: Sequence[str], unit_ms: int = 1) -> Trial:
    """The trial with a source counted up to the window's end; where the share changed there, blocks are closed."""
    if window[1] in _shifts(trial, unit_ms):
        settled = {name: trial.comparisons[name].settle() for name in names if name in trial.comparisons}
        trial = replace(trial, comparisons={**trial.comparisons, **settled})
    return replace(trial, until_ms={**trial.until_ms, source: window[1]})


def _score(item: Mapping[str, Any], note: Mapping[str, Any] | None, scales: Mapping[str, Scale]) -> float | None:
    """One piece of feedback on the scale from 0 to 1; None where its metric does not count or no note is left."""
    scale, value = scales.get(item.get("metric", "")), item.get("value")
    if scale is None:
        return None
    if item["metric"] == _LABEL:
        if note is None or not is_list(value):
            return None
        right = [label == told for label, told in zip(value, note["label"], strict=False)]
        value = sum(right) / len(right) if right else None
    if not isinstance(value, bool | int | float):
        return None
    worst, best = scale
    return min(1.0, max(0.0, (float(value) - worst) / (best - worst)))


def _with_latencies(trial: Trial, live: Seen, policy: CanaryPolicy) -> Trial:
    """The trial with live's latencies of one more window, or once they are enough with what they say is slow."""
    latencies = FloatSketch()
    latencies.merge(trial.latencies)
    latencies.update(np.repeat(live.values, live.counts.astype(int)))
    if latencies.rows < max(1, policy.smallest_sample):
        return replace(trial, latencies=latencies)
    return replace(trial, slow_ms=policy.slow_ratio * latencies.quantile(_FAST_SHARE), latencies=FloatSketch())


def _shares(labels: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
    totals = [max(1, sum(counts[arm] for counts in labels.values())) for arm in (CANDIDATE, LIVE)]
    return {name: (new / totals[CANDIDATE], old / totals[LIVE]) for name, (new, old) in labels.items()}


def _with_labels(
    known: Mapping[str, tuple[int, int]], new: Mapping[str, int], old: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """The counts with those of a window; of many labels the most frequent ones are kept."""
    names = {*known, *new, *old}
    both = {n: (known.get(n, (0, 0))[0] + new.get(n, 0), known.get(n, (0, 0))[1] + old.get(n, 0)) for n in names}
    ranked = sorted(both.items(), key=lambda each: (-sum(each[1]), each[0]))
    return dict(sorted(ranked[:_KEPT_LABELS]))


def _answer(item: Mapping[str, Any]) -> str:
    return str(item["sk"]).partition("#")[0]
