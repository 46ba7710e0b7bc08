"""One drift check: merge the window's profiles, compare, report, and announce a drift that is new."""

import json
from dataclasses import dataclass

from drift.judgement import Report, judge
from pawl.events import Announcer
from pawl.identity import isoformat
from pawl.profile import Profile
from pawl.registry import Registry
from pawl.store import Bucket, Traffic


@dataclass(frozen=True, slots=True)
class Watch:
    """Checks the live version of a model against its reference."""

    bucket: Bucket
    traffic: Traffic
    registry: Registry
    announcer: Announcer
    minimum_rows: int

    def check(self, model: str, since_ms: int, until_ms: int) -> Report:
        """Judge the traffic that the live version answered within [since, until), and keep the report."""
        version = self.registry.live(model).version
        reference = self.registry.reference(model, version)
        recent = Profile.like(reference)
        for profile in self.traffic.profiles(model, version, since_ms, until_ms):
            recent.merge(profile)
        report = judge(
            reference,
            recent,
            model=model,
            version=version,
            since=isoformat(since_ms),
            until=isoformat(until_ms),
            minimum_rows=self.minimum_rows,
        )
        key = f"reports/{model}/{version}/{report.until}.json"
        self.bucket.write(key, json.dumps(report.to_dict(), indent=1).encode())
        if report.status == "drifted":
            self._announce(report, key, until_ms)
        return report

    def _announce(self, report: Report, key: str, now_ms: int) -> None:
        """Announce the first drift of a version, then record the incident: a crash in between repeats the event, and
        its receivers know it by its id."""
        if self.registry.incident(report.model, report.version) is not None:
            return
        data = {
            "model": report.model,
            "version": report.version,
            "score": report.score,
            "columns": report.drifted,
            "since": report.since,
            "until": report.until,
            "report": key,
        }
        self.announcer.announce(
            "DriftDetected",
            id=f"drift/{report.model}/{report.version}",
            subject=report.model,
            unix_ms=now_ms,
            data=data,
        )
        self.registry.open_incident(report.model, report.version, {"opened_at": report.until, **data})
