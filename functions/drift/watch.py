"""One drift check: merge the window's profiles, judge, report, and say once that an incident began or ended."""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from drift import learning, page, season
from drift.flow import FlowMeter
from drift.incidents import TRAINING, Incident, event_id, follow
from drift.labels import judge_labels
from drift.late import LateLabels
from drift.looks import Look, by_columns_alone, look_policy, whole_policy
from drift.policy import DEFAULT, DriftPolicy
from drift.report import Report, Scope
from drift.report import learning as still_learning
from drift.timeline import gather
from drift.verdict import Evidence, judge
from pawl.bucket import Bucket
from pawl.bundle import Manifest
from pawl.calibration import Labelled
from pawl.errors import NotFound
from pawl.events import Announcer
from pawl.expectation import ExpectedError
from pawl.identity import isoformat, unix_ms
from pawl.profile import Profile
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import Elsewhere

_DAY_MS = 86_400_000
_LATELY_MS = 14 * _DAY_MS
_LATE_DAYS = 7
"""So many days that rows came late for are judged by one check, the oldest first; the others by the next ones."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Checks the live version of a model against its reference.

    Of a model that is served elsewhere, the version whose newest row is known counts as live.
    """

    bucket: Bucket
    traffic: Traffic
    registry: Registry
    announcer: Announcer
    late: LateLabels
    minimum_rows: int
    instance_hour_usd: float

    def check(self, model: str, since_ms: int, until_ms: int) -> Report:
        """Judge the traffic that the live version answered within [since, until), and keep the report.

        Days before it that rows came late for are judged first, each by itself.
        """
        elsewhere = self._elsewhere(model)
        version = elsewhere.version if elsewhere else self.registry.live(model).version
        self._end_superseded(Scope(model, version, isoformat(since_ms), isoformat(until_ms)), until_ms)
        manifest = None if elsewhere else self.registry.manifest(model, version)
        for day, batch in list(self.registry.late_days(model, version).items())[:_LATE_DAYS]:
            began_ms = unix_ms(f"{day}T00:00:00Z")
            window = (began_ms, min(began_ms + _DAY_MS, until_ms))
            if began_ms < since_ms:
                self._meter.forget(model, version, window)
                self._check(Scope(model, version, *map(isoformat, window)), manifest, *window)
            self.registry.forget_late(model, version, day, batch)
        return self._check(
            Scope(model, version, isoformat(since_ms), isoformat(until_ms)), manifest, since_ms, until_ms
        )

    def _check(self, scope: Scope, manifest: Manifest | None, since_ms: int, until_ms: int) -> Report:
        reference = self._reference(scope, manifest)
        if reference is None:
            return self._learn(scope, since_ms, until_ms)
        return self._follow(self._judge(scope, manifest, reference, since_ms, until_ms), until_ms)

    def _elsewhere(self, model: str) -> Elsewhere | None:
        """The model, if it is none that is served here."""
        known = self.registry.elsewhere(model)
        return None if known is None or model in self.registry.models() else known

    def _reference(self, scope: Scope, manifest: Manifest | None) -> Profile | None:
        if manifest is None:
            return learning.learned(self.bucket, scope.model, scope.version)
        return learning.reference_of(self.registry, self.bucket, scope.model, scope.version)

    def _learn(self, scope: Scope, since_ms: int, until_ms: int) -> Report:
        profiles = self.traffic.profiles(scope.model, scope.version, since_ms, until_ms)
        recent = learning.gather(profiles, None).recent
        learning.learn(self.bucket, scope.model, scope.version, recent)
        report = still_learning(recent.rows, scope, learning.REFERENCE_ROWS)
        self._write(report, _key(scope))
        return report

    def _judge(
        self, scope: Scope, manifest: Manifest | None, reference: Profile, since_ms: int, until_ms: int
    ) -> Report:
        """Against the reference first; where something is amiss, against the same hours of earlier weeks as well."""
        policy, opened_ms = self._policy(scope.model), self._opened(scope)
        profiles = self.traffic.profiles(scope.model, scope.version, since_ms, until_ms)
        gathered = gather(profiles, reference, since_ms, until_ms, policy)
        recent = gathered.recent
        state = self.late.take(scope.model, scope.version, until_ms, policy)
        evidence = Evidence(
            reference,
            recent,
            gathered.stretches,
            judge_labels(state, since_ms, until_ms, _holdout(manifest), policy),
            self._calibration(scope),
            None,
            manifest.kind if manifest else "",
            self._cures_tried(scope, until_ms),
            self._expected(scope),
            gathered.rows_left_out,
            self._meter.measure(scope.model, scope.version, (since_ms, until_ms), gathered.hours, policy, opened_ms),
            recent.last_ms or self.traffic.newest_ms(scope.model, scope.version, until_ms),
        )
        began_ms = self.traffic.began_ms(scope.model, scope.version)
        past = _Past(began_ms, opened_ms)
        looks = [each for each in gathered.looks if each.recent.rows >= self.minimum_rows and past.has_day(each)]
        report = self._whole(evidence, scope, whole_policy(policy) if looks else policy, past)
        if report.status == "stable":
            beside = replace(evidence, flows=(), rows_left_out=0)
            found = (self._newest(beside, scope, look, policy, past) for look in looks)
            report = next((each for each in found if each is not None), report)
        if report.status == "stable":
            learning.complete(self.bucket, scope.model, scope.version, reference, recent)
        return replace(report, left_out=gathered.left_out)

    def _whole(self, evidence: Evidence, scope: Scope, policy: DriftPolicy, past: "_Past") -> Report:
        """The verdict on a whole window."""
        report = self._verdict(evidence, scope, policy)
        if report.status != "drifted":
            return report
        earlier = self._season(scope, evidence.reference, policy, past)
        return self._verdict(replace(evidence, season=earlier), scope, policy) if earlier else report

    def _newest(
        self, evidence: Evidence, scope: Scope, look: Look, policy: DriftPolicy, past: "_Past"
    ) -> Report | None:
        """The verdict on its newest part, if that has drifted beside the same hours of earlier weeks or days, too."""
        evidence, scope = replace(evidence, recent=look.recent), replace(scope, since=isoformat(look.since_ms))
        shared = look_policy(policy, look)
        strict = by_columns_alone(shared)
        if self._verdict(evidence, scope, strict).status != "drifted":
            return None
        window = unix_ms(scope.since), unix_ms(scope.until)
        read = partial(self.traffic.profiles, scope.model, scope.version)
        gathered = (
            season.gather_weeks(read, windows, (), evidence.reference, self.minimum_rows, least)
            for windows, least in (
                (season.last_weeks(*window, policy, past.opened_ms), policy.least_weeks),
                (season.last_days(*window, past.opened_ms), 1),
            )
        )
        earlier = next((each for each in gathered if each is not None), None)
        beside = replace(evidence, season=earlier)
        if earlier is None or self._verdict(beside, scope, strict).status != "drifted":
            return None
        return self._verdict(beside, scope, shared)

    def _verdict(self, evidence: Evidence, scope: Scope, policy: DriftPolicy) -> Report:
        return judge(
            evidence,
            scope,
            policy=policy,
            minimum_rows=self.minimum_rows,
            instance_hour_usd=self.instance_hour_usd,
        )

    @property
    def _meter(self) -> FlowMeter:
        return FlowMeter(self.bucket, self.traffic, self.minimum_rows)

    def _opened(self, scope: Scope) -> int | None:
        """When the version's open incident was opened, if it has one."""
        incident = self.registry.incident(scope.model, scope.version)
        return unix_ms(str(incident["opened_at"])) if incident and incident.get("opened_at") else None

    def _season(self, scope: Scope, reference: Profile, policy: DriftPolicy, past: "_Past") -> season.Season | None:
        window = unix_ms(scope.since), unix_ms(scope.until)
        read = partial(self.traffic.profiles, scope.model, scope.version)
        last = season.last_weeks(*window, policy, past.opened_ms)
        first = [] if past.began_ms is None else season.first_weeks(*window, policy, past.began_ms)
        return season.gather_weeks(read, last, first, reference, self.minimum_rows, policy.least_weeks)

    def _follow(self, report: Report, now_ms: int) -> Report:
        """Open, update or end the version's incident, and keep the report.

        The report is written first, then the event announced, then the incident recorded: a crash in between repeats
        the event, and its receivers know it by its id.
        """
        key = _key(Scope(report.model, report.version, report.since, report.until))
        item = self.registry.incidents(report.model).get(report.version)
        last = Incident.from_item(item) if item is not None else None
        policy = self._policy(report.model)
        step, incident = follow(last, report, key, policy.closing_checks, policy.closing_hours)
        if incident is not None and (incident.is_open or step == "close"):
            shown = {"number": incident.number, "opened_at": incident.opened_at, "closed_at": incident.closed_at}
            report = replace(report, incident=shown)
        self._write(report, key)
        if incident is None or step == "none":
            return report
        if step == "open":
            self._announce_opening(report, incident, now_ms)
            self.registry.open_incident(report.model, report.version, incident.to_item())
            return report
        if step == "close":
            self._announce_end(report.model, report.version, incident, now_ms)
        self.registry.update_incident(report.model, report.version, incident.to_item())
        return report

    def _end_superseded(self, scope: Scope, now_ms: int) -> None:
        """A version that is no longer live has no open incident."""
        for version, item in self.registry.incidents(scope.model).items():
            incident = Incident.from_item(item)
            if version == scope.version or not incident.is_open:
                continue
            ended = replace(incident, closed_at=scope.until, closed_because=f"version {scope.version} is live")
            self._announce_end(scope.model, version, ended, now_ms)
            self.registry.update_incident(scope.model, version, ended.to_item())

    def _announce_opening(self, report: Report, incident: Incident, now_ms: int) -> None:
        self.announcer.announce(
            "DriftDetected",
            id=event_id(report.model, report.version, incident.number),
            subject=report.model,
            unix_ms=now_ms,
            data={
                "model": report.model,
                "version": report.version,
                "score": report.score,
                "kind": report.attribution.kind,
                "columns": report.drifted,
                "began": report.attribution.since,
                "cure": asdict(report.cure),
                "sentence": report.sentence,
                "since": report.since,
                "until": report.until,
                "report": incident.report,
                "page": _page_key(incident.report),
            },
        )

    def _announce_end(self, model: str, version: str, incident: Incident, now_ms: int) -> None:
        self.announcer.announce(
            "DriftEnded",
            id=f"{event_id(model, version, incident.number)}/ended",
            subject=model,
            unix_ms=now_ms,
            data={
                "model": model,
                "version": version,
                "opened_at": incident.opened_at,
                "closed_at": incident.closed_at,
                "because": incident.closed_because,
                "sentence": f"The drift of {model} {version} has ended: {incident.closed_because}.",
                "report": incident.report,
            },
        )

    def _write(self, report: Report, key: str) -> None:
        self.bucket.write(_page_key(key), page.render(report).encode())
        self.bucket.write(key, json.dumps(report.to_dict(), indent=1).encode())

    def _policy(self, model: str) -> DriftPolicy:
        try:
            return DriftPolicy.from_json(self.bucket.read(f"models/{model}/drift.json"))
        except NotFound:
            return DEFAULT

    def _calibration(self, scope: Scope) -> Labelled | None:
        found = self._taught(scope, "calibration.json")
        return Labelled.from_dict(found) if found else None

    def _expected(self, scope: Scope) -> ExpectedError | None:
        found = self._taught(scope, "errors.json")
        return ExpectedError.from_dict(found) if found else None

    def _taught(self, scope: Scope, name: str) -> dict[str, Any] | None:
        """What labelled rows have taught: those of the training, or of a reference that a person dropped."""
        for folder in ("models", "profiles"):
            try:
                return json.loads(self.bucket.read(f"{folder}/{scope.model}/{scope.version}/{name}"))
            except NotFound:
                continue
        return None

    def _cures_tried(self, scope: Scope, now_ms: int) -> int:
        """How many other versions' incidents were lately met by a training."""
        found = [
            Incident.from_item(item) for v, item in self.registry.incidents(scope.model).items() if v != scope.version
        ]
        oldest = isoformat(now_ms - _LATELY_MS)
        return sum(each.cure.get("action") in TRAINING and each.opened_at >= oldest for each in found)


@dataclass(frozen=True, slots=True)
class _Past:
    """When a version's traffic began, and when its open incident did, if it has one."""

    began_ms: int | None
    opened_ms: int | None

    def has_day(self, look: Look) -> bool:
        """Whether there may be an earlier day to compare a look with."""
        return self.began_ms is not None and self.began_ms <= look.since_ms - _DAY_MS


def _holdout(manifest: Manifest | None) -> tuple[float, int] | None:
    """The accuracy that the version was released with, as served, and on how many rows."""
    if manifest is None:
        return None
    found = manifest.metrics.get("int8", {}).get("holdout", {})
    return (float(found["accuracy"]), int(found["rows"])) if {"accuracy", "rows"} <= set(found) else None


def _key(scope: Scope) -> str:
    return f"reports/{scope.model}/{scope.version}/{scope.until}.json"


def _page_key(key: str) -> str:
    return key.removesuffix("json") + "html"
