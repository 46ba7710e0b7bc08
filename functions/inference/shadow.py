"""A candidate's answer to a copy of a request: nobody gets it, and only its features are captured.

It is captured under the version's number with `-shadow`, beside whether the live version had answered the same: labels
and texts to the letter, numbers to a hundredth.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inference.service import GENERATOR, Call, Service, timed
from inference.tensors import DTYPES
from pawl.bundle import Tensor
from pawl.model import Column
from pawl.records import SHADOW, CaptureRecord

_TOLERANCE = 0.01


def answer_unseen(service: Service, asked: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Answer a copy, `asked` by drift.shadow; generators answer none, for they never answer twice alike."""
    model = service.engine.get(asked["model"], asked["version"])
    manifest = model.manifest
    if manifest.kind == GENERATOR:
        return {"answered": 0}
    inputs = {each.name: _column(asked["inputs"][each.name], each) for each in manifest.inputs}
    rows = len(next(iter(asked["inputs"].values())))
    began = time.perf_counter_ns()
    answer = service.run(model, inputs, {})
    took_ns = time.perf_counter_ns() - began
    unseen = replace(manifest, version=manifest.version + SHADOW)
    inference_id, unix_ms = service.receipt(unseen, rows, b"", call)
    features = {**timed(answer.features(), rows, took_ns), "agrees": agreement(asked["outputs"], answer.outputs, rows)}
    record = CaptureRecord(inference_id, manifest.name, unseen.version, unix_ms, {}, {}, dict(features))
    service.record(lambda: record, 0)  # features alone
    return {"answered": rows}


def agreement(live: Mapping[str, Sequence[Any]], own: Mapping[str, Column], rows: int) -> list[float | None]:
    """For each row 1 where every output that was captured of the live version is the same here, else 0."""
    compared = [(column, own[name]) for name, column in live.items() if name in own and len(own[name]) == rows]
    if not compared:
        return [None] * rows
    return [float(all(_is_same(old[row], new[row]) for old, new in compared)) for row in range(rows)]


def _is_same(old: Any, new: Any) -> bool:
    if isinstance(old, str):
        return old == str(new)
    return bool(np.allclose(np.asarray(old, float), np.asarray(new, float), rtol=0, atol=_TOLERANCE))


def _column(values: Sequence[Any], tensor: Tensor) -> Column:
    """A captured column as the model takes it: one entry a row, but for a tensor that all rows share."""
    if tensor.datatype == "BYTES":
        return list(values)
    whole = np.asarray(values, DTYPES[tensor.datatype])
    return whole if tensor.shape[:1] == [-1] else whole[0]
