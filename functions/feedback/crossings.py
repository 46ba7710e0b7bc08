"""When a counter of feedback crosses a threshold: at each multiple of so many pieces, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pawl.opinions import COUNTS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


@dataclass(frozen=True, slots=True)
class Crossing:
    """A model version that so much feedback has been given on: the multiple that was reached, not what is beyond."""

    model: str
    version: str
    taught: int

    @property
    def id(self) -> str:
        """Names this crossing among all events."""
        return f"feedback/{self.model}/{self.version}/{self.taught}"


class Announced:
    """Which crossings have been announced: items `announced`, `<id>` of the feedback table."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def has(self, crossing: Crossing) -> bool:
        """Whether it has been announced."""
        return "Item" in self._table.get_item(Key=_key(crossing), ConsistentRead=True)

    def add(self, crossing: Crossing) -> None:
        """Note that it has been announced."""
        self._table.put_item(Item=_key(crossing))


def crossing_in(record: Mapping[str, Any], every: int) -> Crossing | None:
    """The crossing in a record of the table's stream: a counter that had less than a multiple of `every`, and has it.

    Where several multiples lie between, the highest: they were crossed at one moment.
    """
    change = record["dynamodb"]
    if change["Keys"]["pk"]["S"] != COUNTS or "NewImage" not in change:
        return None
    reached = _taught(change["NewImage"]) // every * every
    if reached <= _taught(change.get("OldImage", {})):
        return None
    model, _, version = change["Keys"]["sk"]["S"].rpartition("#")
    return Crossing(model, version, reached)


def _taught(image: Mapping[str, Any]) -> int:
    return int(image.get("taught", {"N": "0"})["N"])


def _key(crossing: Crossing) -> dict[str, str]:
    return {"pk": "announced", "sk": crossing.id}
