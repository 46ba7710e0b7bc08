"""A frozen dataset: Parquet files of rows by split under one digest, the same digest for the same rows.

    _manifest.json      the model, the columns, each split's rows, the parent dataset and where new rows came from
    train.parquet       rows to learn from
    holdout.parquet     rows never learned from, inherited unchanged from version to version
    recent.parquet      the held-out part of the newest labelled traffic; absent in a starter dataset
    _card.md            for people: what went in, what was left out and why; absent in a starter dataset

The digest is over the rows themselves, as lines of JSON, and over all else that the manifest says, but not over the
bytes of the Parquet files: compressors and writers differ from machine to machine. Those have a sha256 each, beside
what the digest covers. Engines that read a folder as a table skip names that begin with "_". No AWS and no pickle.

Columns that came later are left out where no row fills them, so a dataset has the digest that it always had.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pawl.errors import InvalidDataset
from pawl.parquet import Values, line_of, pack, unpack

SCHEMA = 2
MANIFEST = "_manifest.json"
CARD = "_card.md"
SPLITS = ("train", "holdout", "recent")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the rows of a dataset are: a name for it, and their columns with SQL types; `added` are those of later."""

    name: str
    columns: Mapping[str, str]
    added: Mapping[str, str] = field(default_factory=dict[str, str])


PEOPLE = {"people": "VARCHAR[]"}
"""Whose a row is beside its subject."""
LABELS = Kind(
    "labels",
    {
        "text": "VARCHAR",
        "label": "VARCHAR",
        "slices": "MAP(VARCHAR, VARCHAR)",
        "source": "VARCHAR",
        "answer": "VARCHAR",
        "subject": "VARCHAR",
    },
    PEOPLE,
)
"""A dataset of labelled texts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text. `slices` are attributes to judge fairness by, such as channel and variety.

    A row of traffic knows the uuid of its answer, and whose it is by the digest of their name, so that either can be
    erased from later datasets. `people` are all whose it is beside its subject.
    """

    text: str
    label: str
    slices: dict[str, str] = field(default_factory=dict[str, str])
    source: str = "starter"
    answer: str = ""
    subject: str = ""
    people: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers that it comes from, as every kind of row names them."""
        return (self.answer,) if self.answer else ()

    @property
    def whose(self) -> tuple[str, ...]:
        """Everybody whose it is."""
        return (self.subject, *self.people)


@dataclass(frozen=True, slots=True)
class FrozenDataset:
    """Rows by split, with the digest that names them; `files` are the bytes to store, manifest included."""

    model: str
    digest: str
    splits: dict[str, list[Row]]
    lineage: dict[str, Any]
    files: dict[str, bytes]


def freeze(
    model: str, splits: Mapping[str, Sequence[Row]], lineage: Mapping[str, Any], card: str = ""
) -> FrozenDataset:
    """Freeze rows under a digest: equal rows, lineage and card give an equal digest.

    `lineage` holds what the rows come from: `parent` (a dataset digest or None), `traffic_window` (two instants),
    `feedback` (how many labels).
    """
    values = {split: [_values_of(row) for row in rows] for split, rows in splits.items()}
    return thaw(bind(model, LABELS, values, lineage, card))


def thaw(files: Mapping[str, bytes]) -> FrozenDataset:
    """The dataset in `files`, every digest checked; InvalidDataset names the file that does not match."""
    manifest, found = unbind(files, LABELS)
    splits = {split: [_row_of(values) for values in rows] for split, rows in found.items()}
    return FrozenDataset(manifest["model"], digest_of(manifest), splits, manifest["lineage"], dict(files))


def bind(
    model: str, kind: Kind, splits: Mapping[str, Iterable[Values]], lineage: Mapping[str, Any], card: str = ""
) -> dict[str, bytes]:
    """The files of a dataset of this kind: each split that has rows becomes one, and the manifest covers all."""
    if unknown := set(splits) - set(SPLITS):
        raise InvalidDataset(f"splits {sorted(unknown)}: want some of {list(SPLITS)}")
    rows = {split: given for split in SPLITS if (given := list(splits.get(split, ())))}
    columns = _columns(kind, chain(*rows.values()))
    lines = {split: [line_of({name: row[name] for name in columns}) for row in given] for split, given in rows.items()}
    files = {_file_of(split): pack(given, columns, split) for split, given in lines.items()}
    manifest = {
        "schema": SCHEMA,
        "kind": kind.name,
        "model": model,
        "columns": columns,
        "splits": {split: {"rows": len(given), "sha256": _digest(*given)} for split, given in lines.items()},
        "lineage": dict(lineage),
        "card": _digest(card.encode()) if card else None,
        "files": {name: _digest(data) for name, data in files.items()},
    }
    if card:
        files[CARD] = card.encode()
    return {**files, MANIFEST: (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()}


def unbind(files: Mapping[str, bytes], kind: Kind) -> tuple[dict[str, Any], dict[str, list[Values]]]:
    """The manifest and the rows of a dataset of this kind, every file and every split checked against its digest."""
    if MANIFEST not in files:
        raise InvalidDataset(f"{MANIFEST} is missing")
    try:
        manifest = json.loads(files[MANIFEST])
        _check_kind(manifest, kind)
        rows = {split: about["sha256"] for split, about in manifest["splits"].items()}
        digests = {_file_of(split): manifest["files"][_file_of(split)] for split in rows}
        digests |= {CARD: manifest["card"]} if manifest["card"] else {}
        _ = manifest["model"], manifest["lineage"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidDataset(f"{MANIFEST} is not a version {SCHEMA} manifest: {error}") from error
    for name, digest in digests.items():
        if name not in files:
            raise InvalidDataset(f"{name} is missing")
        if _digest(files[name]) != digest:
            raise InvalidDataset(f"{name} does not match its digest")
    columns = {name: type for name, type in {**kind.columns, **kind.added}.items() if name in manifest["columns"]}
    return manifest, {split: _rows(files, split, columns, digest) for split, digest in rows.items()}


def writing_order(files: Mapping[str, bytes]) -> list[str]:
    """The names of a dataset's files with the manifest last: where that is, the others are."""
    return sorted(files, key=lambda name: (name == MANIFEST, name))


def digest_of(manifest: Mapping[str, Any]) -> str:
    """The digest that names a dataset: of all that its manifest says but the bytes of its files."""
    covered = {name: value for name, value in manifest.items() if name != "files"}
    return _digest(json.dumps(covered, sort_keys=True).encode())


def _check_kind(manifest: Mapping[str, Any], kind: Kind) -> None:
    if manifest["schema"] != SCHEMA:
        raise InvalidDataset(f"{MANIFEST}: schema {manifest['schema']!r}, want {SCHEMA}")
    if manifest["kind"] != kind.name:
        raise InvalidDataset(f"a dataset of {manifest['kind']}: want one of {kind.name}")
    if not kind.columns.items() <= manifest["columns"].items() <= {**kind.columns, **kind.added}.items():
        raise InvalidDataset(f"{MANIFEST}: columns {sorted(manifest['columns'])}, want {sorted(kind.columns)}")


def _columns(kind: Kind, rows: Iterable[Values]) -> dict[str, str]:
    """A kind's columns, and those that were added since as far as a row fills them."""
    filled = {name for row in rows for name in kind.added if row[name]}
    return {**kind.columns, **{name: type for name, type in kind.added.items() if name in filled}}


def _rows(files: Mapping[str, bytes], split: str, columns: Mapping[str, str], digest: str) -> list[Values]:
    rows = list(unpack(files[_file_of(split)], columns))
    if _digest(*map(line_of, rows)) != digest:
        raise InvalidDataset(f"the rows of {_file_of(split)} do not match their digest")
    return rows


def _values_of(row: Row) -> Values:
    return {name: getattr(row, name) for name in (*LABELS.columns, *LABELS.added)}


def _row_of(values: Values) -> Row:
    people = tuple(values.pop("people", ()))
    return Row(**values, people=people)


def _file_of(split: str) -> str:
    return f"{split}.parquet"


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
