"""What the loop announces: past-tense CloudEvents 1.0 inside EventBridge's `detail`, source `pawl.<function>`."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pawl.errors import PawlError
from pawl.identity import isoformat

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


class Announcer:
    """Announces events of one function on the deployment's bus."""

    def __init__(self, client: "EventBridgeClient", bus: str, source: str) -> None:
        self._client = client
        self._bus = bus
        self._source = source

    def announce(self, type: str, *, id: str, subject: str, unix_ms: int, data: Mapping[str, Any]) -> None:
        """Put one event on the bus; `id` names the fact, so a second announcement of it is known as such."""
        detail = {
            "specversion": "1.0",
            "type": type,
            "source": self._source,
            "id": id,
            "subject": subject,
            "time": isoformat(unix_ms),
            "datacontenttype": "application/json",
            "data": dict(data),
        }
        reply = self._client.put_events(
            Entries=[
                {"EventBusName": self._bus, "Source": self._source, "DetailType": type, "Detail": json.dumps(detail)}
            ]
        )
        if reply["FailedEntryCount"]:
            raise PawlError(f"{type} could not be announced: {reply['Entries'][0].get('ErrorCode')}")
