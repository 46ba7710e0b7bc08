"""How many invocations of each function version have failed, as CloudWatch counts them.

A failure is an invocation that Lambda calls an error (it died or ran out of time), or one that was answered with a
status of 500 or more, which the inference function counts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NAMESPACE, FAILED = "Pawl", "AnswersFailed"
MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_INVOKED, _DIED = "Invocations", "Errors"


class CloudWatch(Protocol):
    """What is used of CloudWatch's client."""

    def get_metric_data(
        self, *, MetricDataQueries: Sequence[Any], StartTime: datetime, EndTime: datetime
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Failures:
    """The metrics of a function behind an alias."""

    client: CloudWatch
    function: str
    alias: str

    def of(self, versions: Sequence[str], since_ms: int, until_ms: int) -> list[NDArray[np.float64]]:
        """For each function version the tally of 1 for an invocation that was answered and 0 for one that failed.

        From whole minute to whole minute: [since, until), a day at a time, of which one reply holds all values.
        """
        found: dict[str, float] = {}
        queries = [query for at, version in enumerate(versions) for query in self._queries(at, version)]
        for begin_ms in range(since_ms, until_ms, _DAY_MS):
            end_ms = min(until_ms, begin_ms + _DAY_MS)
            reply = self.client.get_metric_data(
                MetricDataQueries=queries, StartTime=_moment(begin_ms), EndTime=_moment(end_ms)
            )
            for result in reply["MetricDataResults"]:
                found[result["Id"]] = found.get(result["Id"], 0.0) + sum(result.get("Values", []))
        return [self._tally(found, at) for at in range(len(versions))]

    def _queries(self, at: int, version: str) -> list[dict[str, Any]]:
        alias = {"FunctionName": self.function, "Resource": f"{self.function}:{self.alias}", "ExecutedVersion": version}
        own = {"function": self.function, "version": version}
        return [
            _query(f"invoked_{at}", "AWS/Lambda", _INVOKED, alias),
            _query(f"died_{at}", "AWS/Lambda", _DIED, alias),
            _query(f"failed_{at}", NAMESPACE, FAILED, own),
        ]

    def _tally(self, found: dict[str, float], at: int) -> NDArray[np.float64]:
        invoked, died, failed = (found.get(f"{name}_{at}", 0.0) for name in ("invoked", "died", "failed"))
        rows = max(invoked, died + failed)
        answered = rows - died - failed
        return np.array([rows, answered, answered])


def _query(name: str, namespace: str, metric: str, dimensions: dict[str, str]) -> dict[str, Any]:
    listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    about = {"Namespace": namespace, "MetricName": metric, "Dimensions": listed}
    return {"Id": name, "MetricStat": {"Metric": about, "Period": MINUTE_MS // 1000, "Stat": "Sum"}}


def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)
