"""Copies of captured requests for a candidate that nobody is to see yet: it answers them as it would have answered.

The copies are sent as they were asked, before personal data is masked, else the answers could not be compared; they are
stored nowhere, and of the answer only its features are. A copy that cannot be sent is let go: it was owed to nobody.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.items import from_item
from pawl.records import CaptureRecord

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_lambda import LambdaClient

_FRESH_MS = 30_000
_MINUTE_MS = 60_000
_KEEP_S = 3_600
_LARGEST_BYTES = 200_000
DEFAULT_PER_MINUTE = 60
"""As `release.terms` has it, where a policy says nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose answers are wanted to the questions that the live version was asked, and to how many a minute."""

    model: str
    version: str
    live: str
    function_version: str
    per_minute: int


class Shadow:
    """Sends copies while a canary is in its shadow."""

    def __init__(self, table: "Table", functions: "LambdaClient", function: str) -> None:
        self._table = table
        self._functions = functions
        self._function = function
        self._wanted: Wanted | None = None
        self._looked_ms = 0

    def copy(self, records: Sequence[CaptureRecord], now_ms: int) -> int:
        """Send copies of what the live version answered, as many as this minute's budget has left; how many were."""
        wanted = self._now(now_ms)
        if wanted is None:
            return 0
        asked = [each for each in records if (each.model, each.version) == (wanted.model, wanted.live) and each.inputs]
        granted = self._granted(len(asked), wanted.per_minute, now_ms) if asked else 0
        return sum(self._send(wanted, record) for record in asked[:granted])

    def _now(self, now_ms: int) -> Wanted | None:
        """The canary in its shadow, as it was known half a minute ago at the most."""
        if now_ms - self._looked_ms >= _FRESH_MS:
            item = self._table.get_item(Key={"pk": "canary", "sk": "active"}).get("Item")
            self._wanted, self._looked_ms = wanted_by(from_item(item) if item else None), now_ms
        return self._wanted

    def _granted(self, asked: int, per_minute: int, now_ms: int) -> int:
        """How many of so many copies the minute's budget allows, whoever else draws on it."""
        reply = self._table.update_item(
            Key={"pk": "canary", "sk": f"shadow#{now_ms // _MINUTE_MS}"},
            UpdateExpression="ADD asked :asked SET expires_at = :expires",
            ExpressionAttributeValues={":asked": asked, ":expires": now_ms // 1000 + _KEEP_S},
            ReturnValues="UPDATED_NEW",
        )
        total = int(str(reply["Attributes"]["asked"]))  # pyright: ignore[reportTypedDictNotRequiredAccess]
        return max(0, min(asked, per_minute - (total - asked)))

    def _send(self, wanted: Wanted, record: CaptureRecord) -> bool:
        asked = {"model": wanted.model, "version": wanted.version, "inputs": record.inputs, "outputs": record.outputs}
        payload = json.dumps({"shadow": asked}).encode()
        if len(payload) > _LARGEST_BYTES:
            return False
        try:
            self._functions.invoke(
                FunctionName=self._function,
                Qualifier=wanted.function_version,
                InvocationType="Event",
                Payload=payload,
            )
        except ClientError:
            return False
        return True


def wanted_by(item: dict[str, Any] | None) -> Wanted | None:
    """What the state table's canary wants; None without one, or when people see its answers already."""
    if item is None or item["phase"] != "shadow":
        return None
    per_minute = json.loads(item["terms"]).get("shadow_per_minute", DEFAULT_PER_MINUTE)
    return Wanted(item["model"], item["version"], item["live"], item["function_version"], int(per_minute))
