"""A candidate's canary as the state table holds it: where it stands, what was counted, and what was done and why.

All that a look changes is one item, written once and only over what was read: so every answer counts once, however
often a look dies. A phase that acts (`promoting`, `rolling_back`, `stopping`) is written before the act and stays until
the act is done: whoever finds it does all of it again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from pawl.errors import InvalidRecord
from pawl.floats import FloatSketch
from pawl.identity import isoformat
from pawl.sequential import CANDIDATE, LIVE, Ceiling, Comparison
from pawl.versions import vars_of
from release.canary import CanaryState, Excess, Figure, Verdict, decide_canary, decide_shadow
from release.familiarity import Ranges
from release.terms import CanaryPolicy

SCHEMA = 1
Phase = Literal["shadow", "step", "asking", "promoting", "rolling_back", "stopping"]
ACTING = ("promoting", "rolling_back", "stopping")
FEEDBACK, SPEED, ANSWERED, AGREEMENT, DISAGREEMENT = "feedback", "speed", "answered", "agreement", "disagreement"
FAMILIARITY = "familiarity"
_KEPT_NOTES = 60


@dataclass(frozen=True, slots=True)
class Note:
    """What was done or found, when, at which share of the traffic, and the figures of that moment."""

    at: str
    what: str
    because: str
    weight: float
    figures: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary under way, of `version` against `live`; times in milliseconds since 1970.

    `baseline` is the function version that answers what the candidate's does not. `terms` is the policy that it began
    with, as JSON: no later one can move the bar. `weight` is the share of the traffic that is to be its own, and
    `is_settled` whether alias, registry and listeners were told of the last note. `until_ms` is how far each source has
    been counted, `shifts_ms` when the share changed: no block of a comparison lies across. `labels` counts each label
    that candidate and live have given, `usual` where the references of both have most of their values, candidate first,
    empty until they were read. `ends_as` is the state that a stopped version gets, `moved_to` the version that
    a hand has made live meanwhile. `number` tells one state of this item from the next.
    """

    model: str
    version: str
    function_version: str
    layer_arn: str
    live: str
    baseline: str
    phase: Phase
    began_ms: int
    step_began_ms: int
    terms: str = "{}"
    step: int = 0
    weight: float = 0.0
    is_settled: bool = False
    looked_ms: int = 0
    verdict_ms: int = 0
    because: str = ""
    ends_as: str = ""
    moved_to: str = ""
    number: int = 1
    slow_ms: float = 0.0
    latencies: FloatSketch = field(default_factory=FloatSketch)
    shadow_rows: int = 0
    until_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    shifts_ms: tuple[int, ...] = ()
    labels: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    usual: tuple[Ranges, ...] = ()
    comparisons: Mapping[str, Comparison] = field(default_factory=dict[str, Comparison])
    ceilings: Mapping[str, Ceiling] = field(default_factory=dict[str, Ceiling])
    notes: tuple[Note, ...] = ()

    def to_item(self) -> dict[str, Any]:
        """The trial as the table holds it."""
        counted = {
            "comparisons": {name: each.to_dict() for name, each in self.comparisons.items()},
            "ceilings": {name: each.to_dict() for name, each in self.ceilings.items()},
            "labels": self.labels,
            "usual": self.usual,
            "latencies": self.latencies.to_dict(),
        }
        about = {name: value for name, value in vars_of(self).items() if name not in counted}
        about |= {"until_ms": dict(self.until_ms), "shifts_ms": list(self.shifts_ms)}
        notes = [asdict(note) for note in self.notes]
        return {**about, "notes": notes, "schema": SCHEMA, "counted": json.dumps(counted, separators=(",", ":"))}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """The trial that `to_item` wrote; InvalidRecord for another schema."""
        if item.get("schema") != SCHEMA:
            raise InvalidRecord(f"a canary of schema {item.get('schema')!r}: want {SCHEMA}")
        counted = json.loads(item["counted"])
        known = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        known |= {
            "weight": float(item["weight"]),
            "slow_ms": float(item["slow_ms"]),
            "shifts_ms": tuple(item["shifts_ms"]),
            "notes": tuple(Note(**note) for note in item["notes"]),
            "labels": {name: (new, old) for name, (new, old) in counted["labels"].items()},
            "usual": tuple(
                {name: (low, high) for name, (low, high) in ranges.items()} for ranges in counted.get("usual", [])
            ),
            "latencies": FloatSketch.from_dict(counted["latencies"]) if "latencies" in counted else FloatSketch(),
            "comparisons": {name: Comparison.from_dict(raw) for name, raw in counted["comparisons"].items()},
            "ceilings": {name: Ceiling.from_dict(raw) for name, raw in counted["ceilings"].items()},
        }
        return cls(**known)

    def state(self) -> CanaryState:
        """What the decision goes by: feedback must be proved, the others must do no harm."""
        figures = [Figure(name, each, name == FEEDBACK) for name, each in self.comparisons.items()]
        limited = [Excess(name, each) for name, each in self.ceilings.items()]
        return CanaryState(figures, self.step, self.began_ms, self.step_began_ms, limited)

    def shown(self) -> dict[str, Any]:
        """The trial as people read it."""
        about = {
            name: getattr(self, name) for name in ("model", "version", "live", "phase", "step", "weight", "because")
        }
        times = {"began_at": isoformat(self.began_ms), "looked_at": isoformat(self.looked_ms) if self.looked_ms else ""}
        return {**about, **times, "figures": self.figures(), "notes": [asdict(note) for note in self.notes]}

    def noted(self, what: str, because: str, now_ms: int) -> Self:
        """The trial with one more note, and the figures as they are."""
        note = Note(isoformat(now_ms), what, because, self.weight, self.figures())
        return replace(self, because=because, is_settled=False, notes=(*self.notes, note)[-_KEPT_NOTES:])

    def figures(self) -> dict[str, Any]:
        """The figures as people read them: answers of candidate and live, the difference, and the evidence so far."""
        found: dict[str, Any] = {name: _shown(each) for name, each in self.comparisons.items() if each.rows.any()}
        for name, each in self.ceilings.items():
            if each.sums[0]:
                share = round(float(each.sums[1] / each.sums[0]), 4)
                found[name] = {"answers": int(each.sums[0]), "share": share, "limit": each.limit}
        return found

    @property
    def policy(self) -> CanaryPolicy:
        """The terms that it began with."""
        return CanaryPolicy.from_json(self.terms)

    @property
    def is_acting(self) -> bool:
        """Whether it has ended but for what follows from that."""
        return self.phase in ACTING

    @property
    def is_ending(self) -> bool:
        """Whether it is being taken back or stopped."""
        return self.phase in ("rolling_back", "stopping")

    def is_due(self, now_ms: int) -> bool:
        """Whether there is something to do: what was left undone, or another look."""
        is_open = self.is_acting or not self.is_settled
        return is_open or now_ms - self.looked_ms >= self.policy.look_seconds * 1000

    def shifted(self, weight: float, now_ms: int) -> Self:
        """The trial with another share of the traffic from now on, or with the same on other function versions."""
        return replace(self, weight=weight, shifts_ms=(*self.shifts_ms, now_ms))

    def stepped(self, policy: CanaryPolicy, now_ms: int) -> Self:
        """The trial at its next step. From the shadow that is the first, and nothing of before counts toward it."""
        step = 0 if self.phase == "shadow" else self.step + 1
        moved = replace(self.shifted(policy.weights[step], now_ms), phase="step", step=step, step_began_ms=now_ms)
        return moved if step else replace(moved, began_ms=now_ms, until_ms=dict.fromkeys(self.until_ms, now_ms))

    def follow(self, verdict: Verdict, policy: CanaryPolicy, now_ms: int) -> Self:
        """The trial after a verdict; what the alias and the registry are to be told of it follows from its phase."""
        match verdict.action:
            case "hold":
                return replace(self, because=verdict.because)
            case "next_step":
                return self.stepped(policy, now_ms).noted("next step", verdict.because, now_ms)
            case "ask":
                return replace(self, phase="asking").noted("asks", verdict.because, now_ms)
            case "promote":
                ended = replace(self, phase="promoting", verdict_ms=now_ms)
                return ended.noted("promoted", verdict.because, now_ms)
            case "roll_back":
                ended = replace(self, phase="rolling_back", verdict_ms=now_ms)
                return ended.noted("rolled back", verdict.because, now_ms)

    def stopped(self, ends_as: str, because: str, now_ms: int, moved_to: str = "") -> Self:
        """The trial as it ends by other than its own verdict."""
        ended = replace(self, phase="stopping", ends_as=ends_as, moved_to=moved_to, verdict_ms=now_ms)
        return ended.noted("stopped", because, now_ms)


def judge(trial: Trial, policy: CanaryPolicy, now_ms: int) -> Verdict:
    """The verdict on a trial as it stands. Once a person was asked, nothing but harm decides for them."""
    if trial.phase == "shadow":
        return decide_shadow(trial.state(), trial.shadow_rows, policy, now_ms)
    verdict = decide_canary(trial.state(), policy, now_ms)
    if trial.phase == "asking" and verdict.action != "roll_back":
        return Verdict("hold", trial.because)
    return verdict


def begin_trial(
    version: tuple[str, str], deployed: tuple[str, str], against: tuple[str, str], terms: str, now_ms: int
) -> Trial:
    """The canary of (model, version), deployed as (function version, layer), against (live version, function version).

    In the shadow nobody sees the candidate's answers, and only there is it known how often both answer alike.
    """
    policy = CanaryPolicy.from_json(terms)
    ceilings = {DISAGREEMENT: Ceiling.start(policy.disagreement_limit)} if policy.shadow else {}
    comparisons = {
        FEEDBACK: Comparison.start(policy.margin),
        ANSWERED: Comparison.start(policy.margin, policy.failure_tolerance),
        SPEED: Comparison.start(policy.margin, policy.slow_tolerance),
        AGREEMENT: Comparison.start(policy.margin, policy.disagreement_limit),
        FAMILIARITY: Comparison.start(policy.margin, policy.drift_tolerance),
    }
    phase, weight = ("shadow", 0.0) if policy.shadow else ("step", policy.weights[0])
    return Trial(
        *version,
        *deployed,
        *against,
        phase,
        now_ms,
        now_ms,
        terms,
        weight=weight,
        comparisons=comparisons,
        ceilings=ceilings,
        until_ms=dict.fromkeys(("feedback", "traffic", "failures", "shadow"), now_ms),
    )


def _shown(each: Comparison) -> dict[str, Any]:
    return {
        "answers": [int(each.rows[CANDIDATE]), int(each.rows[LIVE])],
        "difference": round(float(each.difference), 4),
        "proof": round(float(each.proof_peak), 3),
        "harm": round(float(each.harm_peak), 3),
    }
