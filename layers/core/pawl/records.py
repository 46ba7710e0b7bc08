"""Records that travel between functions: what was asked and answered, as capture queues, lakes and freezes see it.

A record's `features` are the columns of the model's profile; they are computed once, where the answer is given, so
that neither `collect` nor a drift check ever needs the model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from pawl.errors import InvalidRecord
from pawl.narrowing import is_list, is_object

SCHEMA = 1
WITH_SUBJECT = 2
SHADOW = "-shadow"
"""Ends the version that a record names when a candidate answered a copy of a request, and nobody saw it."""


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """One answered request: tensors by name, each a list with one entry a row, and what the profile counts.

    `subject` is the pseudonym of who asked, where the request told; a record that has one is of schema 2.
    """

    inference_id: str
    model: str
    version: str
    unix_ms: int
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    features: dict[str, list[Any]]
    subject: str = ""

    def to_json(self) -> str:
        """One line of JSON."""
        about = {"schema": WITH_SUBJECT, "subject": self.subject} if self.subject else {"schema": SCHEMA}
        whole = {name: getattr(self, name) for name in _NAMES} | about
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_dict(cls, raw: Any) -> Self:
        """The record in `raw`, or InvalidRecord naming the field that is missing, unknown or of the wrong type."""
        if not is_object(raw) or [raw.get("schema"), set(raw)] not in _KNOWN:
            wanted = " or ".join(f"{sorted(names)} with schema {schema}" for schema, names in _KNOWN)
            raise InvalidRecord(f"capture record: want exactly the fields {wanted}")
        for name in ("inference_id", "model", "version", "subject"):
            if not isinstance(raw.get(name, ""), str):
                raise InvalidRecord(f"capture record: {name} must be a string")
        if not isinstance(raw["unix_ms"], int):
            raise InvalidRecord("capture record: unix_ms must be a whole number")
        for name in ("inputs", "outputs", "features"):
            _require_columns(name, raw[name])
        return cls(**{name: value for name, value in raw.items() if name != "schema"})


def inference_id_in(line: bytes) -> str:
    """The inference_id of a record's line of JSON, for a fiftieth of the time that reading all of it takes.

    >>> inference_id_in(b'{"inference_id":"1.018b.triage","model":"triage"}')
    '1.018b.triage'
    """
    if line.startswith(_OPENING) and b"\\" not in (name := line[len(_OPENING) : line.index(b'"', len(_OPENING))]):
        return name.decode()
    return str(json.loads(line)["inference_id"])


_OPENING = b'{"inference_id":"'
_NAMES = tuple(f.name for f in fields(CaptureRecord) if f.name != "subject")
_KNOWN: list[list[Any]] = [[SCHEMA, {*_NAMES, "schema"}], [WITH_SUBJECT, {*_NAMES, "schema", "subject"}]]


def columns_of(records: Sequence[CaptureRecord]) -> dict[str, list[Any]]:
    """The features of many records of one model version, column by column, as a profile counts them.

    Where a record lacks a feature that another one has, its rows have None there.
    """
    names = dict.fromkeys(name for record in records for name in record.features)
    return {name: [value for record in records for value in _column(record.features, name)] for name in names}


def answer_features(
    labels: Sequence[str], confidences: Sequence[float], projections: Sequence[Sequence[float]]
) -> dict[str, list[Any]]:
    """The features of a text classifier's answer: training's reference and the live capture both call this.

    `labels` and `confidences` have shape (rows,), `projections` (rows, dimensions): the sentence embedding on the
    training data's main directions, each scaled to unit variance there.
    """
    features: dict[str, list[Any]] = {
        "label": list(labels),
        "confidence": [round(float(c), 6) for c in confidences],
    }
    dimensions = len(projections[0]) if len(projections) else 0
    for d in range(dimensions):
        features[f"projection_{d}"] = [round(float(row[d]), 4) for row in projections]
    return features


FEATURE_RANGES: Mapping[str, tuple[float, float]] = {
    "characters": (0.0, 4096.0),
    "confidence": (0.0, 1.0),
    "tokens": (0.0, 512.0),
    "unknown_rate": (0.0, 1.0),
    "vocabulary": (0.0, 512.0),
}


def _column(features: Mapping[str, list[Any]], name: str) -> list[Any]:
    if name in features:
        return features[name]
    return [None] * max(map(len, features.values()), default=0)


def _require_columns(name: str, value: Any) -> None:
    if not is_object(value) or not all(is_list(column) for column in value.values()):
        raise InvalidRecord(f"capture record: {name} must map names to lists")
    if len({len(column) for column in value.values()}) > 1:
        raise InvalidRecord(f"capture record: the lists in {name} must be equally long")
