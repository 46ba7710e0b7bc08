"""One alert an incident: opened by a drift, kept up to date by every check, ended by enough stable ones in a row.

What follows from a report is decided here from plain facts; `watch` acts on it. An event's id names the incident, so a
check that died between announcing and recording announces the same fact again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from drift.report import Report
from pawl.identity import unix_ms

Step = Literal["none", "open", "update", "close"]
_HOUR_MS = 3_600_000
TRAINING = ("fine_tune_head", "full_retrain", "rlhf", "automl")
"""Cures that train."""


_EMPTY: dict[str, Any] = {
    "number": 1,
    "opened_at": "",
    "until": "",
    "score": 0.0,
    "kind": "",
    "sentence": "",
    "cure": {},
    "report": "",
}


@dataclass(frozen=True, slots=True)
class Incident:
    """A drift of one version, as the state table holds it; `until` is the end of the newest window that it has seen."""

    number: int
    opened_at: str
    until: str
    score: float
    kind: str
    sentence: str
    columns: tuple[str, ...]
    cure: dict[str, Any]
    report: str
    stable_checks: int = 0
    closed_at: str = ""
    closed_because: str = ""
    stable_since: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not been ended."""
        return not self.closed_at

    def to_item(self) -> dict[str, Any]:
        """The incident as the table holds it; one that is open has no `closed_at`."""
        item = {**asdict(self), "columns": list(self.columns)}
        return item if self.closed_at else {name: value for name, value in item.items() if name != "closed_at"}

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Self:
        """The incident that `to_item` wrote; what an older one lacks is empty."""
        known: dict[str, Any] = {name: item[name] for name in cls.__dataclass_fields__ if name in item}
        given: dict[str, Any] = {**_EMPTY, **known}
        given["columns"] = tuple(known.get("columns", ()))
        return cls(**given)


def follow(
    last: Incident | None, report: Report, key: str, closing_checks: int, closing_hours: float = 0.0
) -> tuple[Step, Incident | None]:
    """What a report means for the version's last incident, and the incident after it.

    A window that ends no later than one already seen changes nothing, and neither does one that was not judged. The
    stable checks that end an incident are so many at least, and lie so many hours apart.
    """
    if report.status not in ("drifted", "stable") or (last is not None and report.until <= last.until):
        return "none", last
    if last is None or not last.is_open:
        return ("open", _opened(last, report, key)) if report.status == "drifted" else ("none", last)
    if report.status == "drifted":
        again = _opened(last, report, key)
        return "update", replace(again, number=last.number, opened_at=last.opened_at)
    calm = last.stable_checks + 1
    since = last.stable_since or (last.until if last.stable_checks else report.until)
    seen = replace(last, until=report.until, report=key, stable_checks=calm, stable_since=since)
    if calm < closing_checks or unix_ms(report.until) - unix_ms(since) < closing_hours * _HOUR_MS:
        return "update", seen
    return "close", replace(seen, closed_at=report.until, closed_because=f"{calm} stable checks in a row")


def event_id(model: str, version: str, number: int) -> str:
    """The name of the fact that an incident was opened; a version's first has none but the version's."""
    return f"drift/{model}/{version}" if number == 1 else f"drift/{model}/{version}/{number}"


def _opened(last: Incident | None, report: Report, key: str) -> Incident:
    return Incident(
        1 if last is None else last.number + 1,
        report.until,
        report.until,
        report.score,
        report.attribution.kind,
        report.sentence,
        tuple(report.drifted),
        asdict(report.cure),
        key,
    )
