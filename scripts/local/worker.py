"""The inside of a local function: what Lambda's own bootstrap does, over MiniStack's pipes.

It runs in the functions' interpreter, where only the standard library and boto3 exist, so it imports nothing of ours.
MiniStack writes one JSON line that describes the function and one per invocation, and reads one back for each. The
import path is Lambda's: the function's code, then its layers, then the runtime.
"""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

END_OF_LOG = "\x04"  # closes the log of one invocation, so that its reader need not wait and see
RAISED = "\x04raised"  # the key under which an error travels as a result, so that the worker stays
RESPONSE_LIMIT_BYTES = 6_291_556


class Context:
    """What Lambda hands to a handler beside the event."""

    identity = None
    client_context = None

    def __init__(self, function: dict[str, Any], invocation: dict[str, Any]) -> None:
        self.function_name = function["function_name"]
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        self.invoked_function_arn = invocation.get("invoked_function_arn") or function["arn"]
        self.memory_limit_in_mb = str(function["memory"])
        self.aws_request_id = invocation.get("request_id", "")
        self.log_group_name = f"/aws/lambda/{self.function_name}"
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self._deadline = time.monotonic() + float(os.environ.get("_LAMBDA_TIMEOUT", "3"))

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def main() -> None:
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the function prints is its log
    sys.stdout = sys.stderr
    function = json.loads(requests.readline())
    sys.path[:] = [*_code_paths(function), *sys.path[1:]]  # the first entry is the folder of this script
    os.environ["AWS_EXECUTION_ENV"] = f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        handler = getattr(importlib.import_module(function["module"]), function["handler"])
    except Exception as error:
        reason = f"Unable to import module '{function['module']}': {error}\n{traceback.format_exc()}"
        _send(answers, {"status": "error", "error": reason})
        return
    _send(answers, {"status": "ready", "cold": True})
    for line in requests:
        _send(answers, _invoke(handler, function, json.loads(line)))


def _code_paths(function: dict[str, Any]) -> list[str]:
    """Lambda's order; a later layer covers an earlier one, since there they are unpacked over each other."""
    layers = [path for path in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if path]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = [os.path.join(layer, "python", "lib", version, "site-packages") for layer in reversed(layers)]
    modules = [os.path.join(layer, "python") for layer in reversed(layers)]
    return [function["code_dir"], *packages, *modules]


def _invoke(handler: Any, function: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    invocation = message.get("ctx") or {}
    _set("_X_AMZN_TRACE_ID", invocation.get("trace_id"))
    try:
        result = handler(message["event"], Context(function, invocation))
        size = len(json.dumps(result).encode())
        if size > RESPONSE_LIMIT_BYTES:
            raise ValueError(f"response of {size} bytes exceeds the limit of {RESPONSE_LIMIT_BYTES}")
    except Exception as error:
        result = {RAISED: _described(error)}
    sys.stderr.write(END_OF_LOG + "\n")
    sys.stderr.flush()
    return {"status": "ok", "result": result}


def _described(error: Exception) -> dict[str, Any]:
    """An error as Lambda answers it; the frames above the handler are ours and left out."""
    frames = traceback.format_tb(error.__traceback__)[1:]
    print(f"[ERROR] {type(error).__name__}: {error}\nTraceback (most recent call last):\n{''.join(frames)}")
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": frames}


def _set(name: str, value: str | None) -> None:
    if value:
        os.environ[name] = value
    else:
        os.environ.pop(name, None)


def _send(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
