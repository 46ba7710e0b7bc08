"""Freezes the lake in a folder and prints what it took; S3 and DynamoDB are files, read as the SDK would hand them."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pawl.bucket import Bucket
from pawl.dataset import thaw
from pawl.datasets import Datasets
from pawl.feedback import FeedbackTable
from pawl.identity import unix_ms
from pawl.items import to_item
from pawl.traffic import Traffic
from retrain.freezing import Rules, freeze_traffic
from retrain.selection import Selection

PAGE = 1_000


class FolderClient:
    """As much of an S3 client as a freeze uses, over a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": (self._root / Key).open("rb")}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        (self._root / Key).parent.mkdir(parents=True, exist_ok=True)
        (self._root / Key).write_bytes(Body)

    def get_paginator(self, name: str) -> "FolderClient":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        folder = self._root / Prefix
        yield {"Contents": [{"Key": str(path.relative_to(self._root))} for path in sorted(folder.glob("*"))]}


class FolderTable:
    """As much of a DynamoDB table: a file of items a partition, read page by page."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def query(
        self,
        *,
        KeyConditionExpression: str,
        ExpressionAttributeValues: dict[str, str],
        ConsistentRead: bool,
        ExclusiveStartKey: int = 0,
    ) -> dict[str, Any]:
        path, items = self._root / ExpressionAttributeValues[":pk"], list[dict[str, Any]]()
        if not path.exists():
            return {"Items": items}
        with path.open("rb") as lines:
            lines.seek(ExclusiveStartKey)
            while len(items) < PAGE and (line := lines.readline()):
                items.append(to_item(json.loads(line)))
            return {"Items": items, "LastEvaluatedKey": lines.tell()} if len(items) == PAGE else {"Items": items}


def main(folder: Path) -> None:
    """Freeze, store, and print seconds, peak and what was learned as JSON."""
    bucket: Any = Bucket(FolderClient(folder / "s3"), "lake")  # type: ignore[arg-type]
    table = FeedbackTable(FolderTable(folder / "feedback"))  # type: ignore[arg-type]
    parent = thaw({path.name: path.read_bytes() for path in (folder / "parent").iterdir()})
    model, window = parent.model, window_of(folder)
    began, cpu_began = time.perf_counter(), time.process_time()
    selection = Selection(model, "1", window)
    frozen = freeze_traffic(selection, parent, table.within(model, *window), Traffic(bucket), Rules())
    Datasets(bucket).store(frozen.dataset)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak = peak_mb()
    truths = json.loads((folder / "truths.json").read_text())
    rows = [row for rows in frozen.dataset.splits.values() for row in rows if row.answer]
    votes = [item["value"] == [truths[item["inference_id"].split(".")[1]]] for item in table.within(model, *window)]
    report = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak,
        "learned": frozen.learned,
        "near_duplicates": frozen.dataset.lineage["left_out"]["near duplicate"],
        "right": sum(truths[row.answer] == row.label for row in rows) / len(rows),
        "right_votes": sum(votes) / len(votes),
    }
    print(json.dumps(report))


def window_of(folder: Path) -> tuple[int, int]:
    """The days that there is feedback of, as [since, until) in milliseconds."""
    days = sorted(path.name for path in (folder / "feedback").iterdir())
    return _midnight_ms(days[0]), _midnight_ms(days[-1]) + 86_400_000


def peak_mb() -> float:
    """The process's most memory: getrusage would tell that of the one which it was forked from, if that was more."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def _midnight_ms(partition: str) -> int:
    return unix_ms(f"{partition.partition('#')[2]}T00:00:00.000+00:00")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
