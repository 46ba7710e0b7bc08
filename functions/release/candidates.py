"""What every release does with a candidate, of whatever kind: open its files, and refuse it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pawl.bundle import Bundle, open_bundle
from pawl.errors import InvalidBundle
from pawl.events import Announcer
from pawl.registry import Registry
from pawl.versions import VersionRecord

WHOLE = "a bundle whose every file matches its digest"
"""What the gate on integrity asks for."""


def unpack(folder: Path, files: Mapping[str, bytes]) -> Bundle:
    """A bundle's files in a new folder, every digest checked; InvalidBundle names the file that is wrong."""
    folder.mkdir()
    for name, data in files.items():
        if "/" in name:
            raise InvalidBundle(f"{name!r} leaves the bundle")
        (folder / name).write_bytes(data)
    return open_bundle(folder)


def refuse(record: VersionRecord, registry: Registry, announcer: Announcer, now_ms: int) -> VersionRecord:
    """Announce which gates a candidate has failed, and keep it as refused."""
    announcer.announce(
        "ReleaseRefused",
        id=f"refused/{record.model}/{record.version}",
        subject=record.model,
        unix_ms=now_ms,
        data={"version": record.version, "gates": [gate for gate in record.gates if not gate["passed"]]},
    )
    refused = replace(record, state="refused")
    registry.record_version(refused)
    return refused
