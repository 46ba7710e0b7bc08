"""Every error that Pawl raises on purpose.

    PawlError
    ├── SettingsError           the deployment is configured wrongly; a person must act
    ├── InvalidRequest          the caller's fault; says what would be right
    │   ├── InvalidReceipt      an inference_id that this deployment never gave, or altered since
    │   ├── InvalidRecord       a queued or dropped record that does not fit its schema
    │   ├── KeyReused           an Idempotency-Key that another request was sent under
    │   └── UnsupportedRequest  the protocol has it, this server does not offer it
    ├── Unauthorized            no key, or one that is not known
    ├── NotFound                no such model, version, job or dataset
    ├── TooLarge                more than one request may hold
    ├── TooBusy                 more at once than this server takes; a retry may succeed
    ├── ClientLeft              nobody waits for the answer any more
    ├── NotReady                still loading, or already leaving
    ├── InvalidBundle           a model bundle that is incomplete, altered or unreadable
    ├── InvalidDataset          a frozen dataset that is incomplete or altered
    ├── IncompatibleProfiles    profiles that were not made for the same columns
    └── Conflict                somebody else changed the same thing first; a retry may succeed

The message is written for the person who can act on it and never holds a payload or a user's text. `status` is what the
error means over HTTP, mapped here and nowhere else.
"""

import json
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class PawlError(Exception):
    """Root of the tree: anything that Pawl raises on purpose."""

    status = 500


class SettingsError(PawlError):
    """An environment variable is missing or bad; names it, its value and what was wanted."""


class InvalidRequest(PawlError):
    """The caller sent something wrong; the message says what would be right."""

    status = 400


class InvalidReceipt(InvalidRequest):
    """An inference_id that was never given here, has been altered, or has expired."""


class InvalidRecord(InvalidRequest):
    """A record from a queue or a file that does not fit its schema."""


class KeyReused(InvalidRequest):
    """The Idempotency-Key of an earlier request, with another body."""

    status = 422


class UnsupportedRequest(InvalidRequest):
    """Part of the protocol, but not offered by this server."""

    status = 501


class NotFound(PawlError):
    """No such model, version, job or dataset."""

    status = 404


class Unauthorized(PawlError):
    """No key, or one that is not known."""

    status = 401


class TooLarge(PawlError):
    """More than one request may hold."""

    status = 413


class TooBusy(PawlError):
    """More at once than this server takes; a retry may succeed."""

    status = 429


class ClientLeft(PawlError):
    """Whoever asked has hung up; nginx's status, which only the metrics see."""

    status = 499


class NotReady(PawlError):
    """Still loading, or already leaving."""

    status = 503


class InvalidBundle(PawlError):
    """A model bundle that is incomplete, altered or unreadable; names the file."""

    status = 503


class InvalidDataset(PawlError):
    """A frozen dataset that is incomplete or altered; names the file."""


class IncompatibleProfiles(PawlError):
    """Two profiles that do not describe the same columns in the same bins."""


class Conflict(PawlError):
    """A conditional write lost against another writer."""

    status = 409


def log_failure(error: Exception, request_id: str) -> None:
    """One structured line: the error's type and the places it came through; never its text."""
    trace = traceback.extract_tb(error.__traceback__)
    frames = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in trace]
    line = {"level": "ERROR", "error": type(error).__name__, "request_id": request_id, "frames": frames}
    write_log(line)


def write_log(about: Mapping[str, Any]) -> None:
    """One line of log, an object of JSON. It never fails: who tells of a failure must not die of a full disk."""
    with suppress(OSError, ValueError, RuntimeError):  # full, closed, or in use by whom a signal has interrupted
        print(json.dumps(about), flush=True)
