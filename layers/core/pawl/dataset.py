"""A frozen dataset: files of rows by split under one digest, the same bytes for the same rows.

    manifest.json       the model, each split's file, rows and sha256, the parent dataset and where new rows came from
    train.jsonl         rows to learn from
    holdout.jsonl       rows never learned from, inherited unchanged from version to version
    recent.jsonl        the held-out part of the newest labelled traffic; absent in a starter dataset
    card.md             for people: what went in, what was left out and why; absent in a starter dataset

The digest is the sha256 of the manifest, which covers every file. No AWS and no pickle: it maps names
to bytes, uncompressed, since compressors differ from machine to machine.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pawl.errors import InvalidDataset

SCHEMA = 1
MANIFEST = "manifest.json"
CARD = "card.md"
SPLITS = ("train", "holdout", "recent")
LABELS = "labels"
"""The kind of a dataset of labelled texts; a manifest without `kind` is of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. `slices` are attributes to judge fairness by, such as channel and variety.

    A row of traffic knows the uuid of its answer, and whose it is by the digest of their name, so that either can be
    erased from later datasets; a row written before it did is stored as it was.
    """

    text: str
    label: str
    slices: dict[str, str] = field(default_factory=dict[str, str])
    source: str = "starter"
    answer: str = ""
    subject: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers that it comes from, as every kind of row names them."""
        return (self.answer,) if self.answer else ()


@dataclass(frozen=True, slots=True)
class FrozenDataset:
    """Rows by split, with the digest that names them; `files` are the exact bytes to store, manifest included."""

    model: str
    digest: str
    splits: dict[str, list[Row]]
    lineage: dict[str, Any]
    files: dict[str, bytes]


def freeze(
    model: str, splits: Mapping[str, Sequence[Row]], lineage: Mapping[str, Any], card: str = ""
) -> FrozenDataset:
    """Freeze rows under a digest: equal rows, lineage and card give equal bytes.

    `lineage` holds what the rows come from: `parent` (a dataset digest or None), `traffic_window` (two instants),
    `feedback` (how many labels).
    """
    packed = {split: (len(rows), _pack(rows)) for split, rows in splits.items()}
    return thaw(bind(model, packed, lineage, card))


def thaw(files: Mapping[str, bytes]) -> FrozenDataset:
    """The dataset in `files`, every digest checked; InvalidDataset names the file that does not match."""
    manifest = check(files, LABELS)
    splits = {name.partition(".")[0]: _unpack(files[name]) for name in manifest["files"]}
    return FrozenDataset(manifest["model"], digest_of(files), splits, manifest["lineage"], dict(files))


def bind(
    model: str,
    packed: Mapping[str, tuple[int, bytes]],
    lineage: Mapping[str, Any],
    card: str = "",
    kind: str = LABELS,
) -> dict[str, bytes]:
    """The files of a dataset: each split's rows and their packed bytes become a file, and the manifest covers all."""
    if unknown := set(packed) - set(SPLITS):
        raise InvalidDataset(f"splits {sorted(unknown)}: want some of {list(SPLITS)}")
    files = {f"{split}.jsonl": data for split, (rows, data) in packed.items() if rows}
    about = {
        f"{split}.jsonl": {"rows": packed[split][0], "sha256": _digest(files[f"{split}.jsonl"])}
        for split in SPLITS
        if f"{split}.jsonl" in files
    }
    manifest = {"schema": SCHEMA, "model": model, "files": about, "lineage": dict(lineage)}
    if kind != LABELS:
        manifest["kind"] = kind
    if card:
        files[CARD] = card.encode()
        manifest["card"] = {"sha256": _digest(files[CARD])}
    return {**files, MANIFEST: (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()}


def check(files: Mapping[str, bytes], kind: str) -> dict[str, Any]:
    """The manifest of a dataset of this kind, every file checked against its digest."""
    if MANIFEST not in files:
        raise InvalidDataset(f"{MANIFEST} is missing")
    try:
        manifest = json.loads(files[MANIFEST])
        if manifest["schema"] != SCHEMA:
            raise InvalidDataset(f"{MANIFEST}: schema {manifest['schema']!r}, want {SCHEMA}")
        found = manifest.get("kind", LABELS)
        _ = manifest["model"], manifest["lineage"]
        digests = {name: about["sha256"] for name, about in manifest["files"].items()}
        card = {CARD: manifest["card"]["sha256"]} if "card" in manifest else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidDataset(f"{MANIFEST} is not a version {SCHEMA} manifest: {error}") from error
    if found != kind:
        raise InvalidDataset(f"a dataset of {found}: want one of {kind}")
    for name, digest in {**digests, **card}.items():
        if name not in files:
            raise InvalidDataset(f"{name} is missing")
        if _digest(files[name]) != digest:
            raise InvalidDataset(f"{name} does not match its digest")
    return manifest


def digest_of(files: Mapping[str, bytes]) -> str:
    """The digest that names a dataset: its manifest's."""
    return _digest(files[MANIFEST])


def _pack(rows: Iterable[Row]) -> bytes:
    lines = (json.dumps(_plain(row), sort_keys=True, ensure_ascii=False) for row in rows)
    return "\n".join(lines).encode()


def _plain(row: Row) -> dict[str, Any]:
    """The row's fields, but `answer` and `subject` only where they are known."""
    whole = {"text": row.text, "label": row.label, "slices": row.slices, "source": row.source}
    return whole | {name: value for name, value in (("answer", row.answer), ("subject", row.subject)) if value}


def _unpack(packed: bytes) -> list[Row]:
    return [Row(**json.loads(line)) for line in packed.decode().split("\n")]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
