"""`pawl logs`: what a function wrote lately, from CloudWatch.

A local cloud keeps the functions' logs there as well, but not those of training jobs, which are files of this checkout.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from operations.stack import OperationError, Stack
from pawl.identity import isoformat
from pawl.items import error_code

TRAINING = "training"
LOCAL_JOBS = Path(__file__).resolve().parents[2] / ".pawl" / "jobs"
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(age: str) -> int:
    """A length of time as people type it, in milliseconds; ValueError when it is none.

    >>> milliseconds("90m")
    5400000
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if not found:
        raise ValueError(f"{age!r}: want a number and s, m, h or d, such as 90m")
    return int(found[1]) * _UNITS_MS[found[2]]


def read_logs(
    stack: Stack,
    function: str,
    since_ms: int,
    environment: Mapping[str, str] = os.environ,
    local_jobs: Path = LOCAL_JOBS,
) -> list[dict[str, Any]]:
    """The lines that a function, or all training jobs, wrote since an instant, oldest first."""
    if function not in stack.log_groups:
        raise OperationError(
            f"no function {function!r} has a log", f"want one of {', '.join(sorted(stack.log_groups))}"
        )
    if function == TRAINING and "AWS_ENDPOINT_URL" in environment:
        return list(_job_lines(local_jobs, since_ms))
    try:
        return list(_events(stack, stack.log_groups[function], since_ms))
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        return []  # a local cloud makes the group with its first line


def _events(stack: Stack, group: str, since_ms: int) -> Iterator[dict[str, Any]]:
    pages = stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since_ms)
    for page in pages:
        for event in page["events"]:
            yield {
                "time": isoformat(event["timestamp"]),
                "stream": event["logStreamName"],
                "message": event["message"].rstrip("\n"),
            }


def _job_lines(folder: Path, since_ms: int) -> Iterator[dict[str, Any]]:
    """The logs of jobs that wrote something since; such a line does not know its time, so it has that of the last."""
    written = {path: round(path.stat().st_mtime * 1000) for path in folder.glob("*.log")}
    for path in sorted((path for path, at in written.items() if at >= since_ms), key=written.__getitem__):
        for line in path.read_text(errors="replace").splitlines():
            yield {"time": isoformat(written[path]), "stream": path.stem, "message": line}
