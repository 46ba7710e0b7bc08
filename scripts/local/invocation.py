"""What an invocation leaves behind: its log to the last line, and its error as Lambda tells it.

MiniStack does not know where the log of an invocation ends and waits up to 50 ms in case more comes: our worker marks
the end. And it kills a worker whose handler raised, which on Lambda stays warm: our worker hands the error over as a
result, and here it becomes the error again.
"""

import queue
import time
from typing import Any

from local.adaptation import part, replace
from local.worker import END_OF_LOG, RAISED

_LIMIT_S = 0.25  # for a function that died before it could mark the end


def apply() -> None:
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    execute = part(lambda_svc, "_execute_function_warm")

    def execute_warm(*invocation: Any) -> dict[str, Any]:
        return with_error(execute(*invocation))

    replace(lambda_svc, "_execute_function_warm", execute_warm)
    replace(lambda_runtime.Worker, "_drain_stderr_bounded", read_log)


def with_error(outcome: dict[str, Any]) -> dict[str, Any]:
    """An outcome whose handler raised, as a failed invocation; any other as it is."""
    body = outcome.get("body")
    if isinstance(body, dict) and RAISED in body:
        return {**outcome, "body": body[RAISED], "error": True, "function_error": "Unhandled"}
    return outcome


def read_log(worker: Any, **_waits: float) -> str:
    """The lines of one invocation; the waits that MiniStack's own reader takes are not needed."""
    lines: list[str] = []
    deadline = time.monotonic() + _LIMIT_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            line: str = worker._stderr_queue.get(timeout=left)
        except queue.Empty:
            break
        if line.endswith(END_OF_LOG):
            rest = line.removesuffix(END_OF_LOG)
            return "\n".join([*lines, *([rest] if rest else [])])
        lines.append(line)
    return "\n".join(lines)
