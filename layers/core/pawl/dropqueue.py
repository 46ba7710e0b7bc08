"""A queue of dropped files, for every function that reads some: each is gone on with while there is time.

A file that takes longer than an invocation may goes on in the next one: its event is put into the queue again. A crash
in between puts it there a second time, through the queue's own redelivery, and the second finds nothing left to do.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from pawl.drops import ERRORS, Drops, Progress, Task
from pawl.errors import InvalidRecord, NotFound

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

MARGIN_MS = 60_000
"""With less time left no further chunk is begun: one takes seconds."""


@dataclass(frozen=True, slots=True)
class DropQueue:
    """The events of dropped files; `task` says by a file's key what is made of it, or why nothing is."""

    client: "SQSClient"
    url: str
    drops: Drops
    task: Callable[[str], Task]
    logger: Logger
    metrics: Metrics

    def work(self, records: Sequence[dict[str, Any]], remaining_ms: Callable[[], int]) -> None:
        """Go on with the files of a batch; failures raise, and the queue delivers it again."""
        for record in records:
            key = json.loads(record["body"])["detail"]["object"]["key"]
            if ERRORS in key or key.endswith("/"):  # what was written beside a file, and folders
                continue
            progress = self.take(key, lambda: remaining_ms() > MARGIN_MS)
            if not progress.is_done:
                self.client.send_message(QueueUrl=self.url, MessageBody=record["body"])

    def take(self, key: str, has_time: Callable[[], bool]) -> Progress:
        """Go on with one file, and say how far it has come."""
        try:
            before = self.drops.progress(key)
        except NotFound:
            self.logger.warning("dropped file is gone", extra={"key": key})
            return Progress(is_done=True)
        try:
            progress = self.drops.work(key, self.task(key), has_time, time.time_ns() // 1_000_000)
        except InvalidRecord as error:  # its name alone says that nothing can be made of it
            self.drops.refuse(key, error)
            progress = replace(before, refused=str(error), is_done=True)
        self._tell(key, before, progress)
        return progress

    def _tell(self, key: str, before: Progress, progress: Progress) -> None:
        self.metrics.add_metric("DroppedRows", MetricUnit.Count, progress.rows - before.rows)
        self.metrics.add_metric("DroppedRowsRefused", MetricUnit.Count, progress.faults - before.faults)
        if progress.refused and not before.is_done:
            self.logger.warning("dropped file refused", extra={"key": key, "reason": progress.refused})
        self.logger.info(
            "dropped file read",
            extra={"key": key, "rows": progress.rows, "refused_rows": progress.faults, "is_done": progress.is_done},
        )
