"""What the labelled rows of a dropped reference teach: how right confidences are, or how large a regression's errors.

A row is labelled where it says in `target` what would have been right, beside the answer in `label`. Confidences are
counted chunk by chunk; errors are learned from the first chunk's rows, which are enough for it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from drift.rows import ANSWER, CONFIDENCE, TARGET
from pawl.bucket import Bucket
from pawl.calibration import Labelled
from pawl.expectation import ExpectedError

LEAST_ROWS = 30
"""Fewer labelled rows teach nothing."""
MOST_LABELS = 200
"""Of more labels no table of who is taken for whom is kept."""


def teach(columns: Mapping[str, Sequence[Any]], wants_errors: bool) -> dict[str, Any]:
    """What the labelled rows of a chunk teach, as JSON holds it; nothing of a kind is None."""
    answers, targets = columns.get(ANSWER), columns.get(TARGET)
    taught: dict[str, Any] = {"calibration": None, "errors": None}
    if answers is None or targets is None:
        return taught
    rows = [row for row, pair in enumerate(zip(answers, targets, strict=True)) if _is_known(*pair)]
    if not rows:
        return taught
    known = {name: [values[row] for row in rows] for name, values in columns.items()}
    if isinstance(known[ANSWER][0], str):
        found = _calibration(known)
        taught["calibration"] = found.to_dict() if found else None
    elif wants_errors and len(rows) >= LEAST_ROWS:
        features = {name: values for name, values in known.items() if name != TARGET}
        taught["errors"] = ExpectedError.learn(features, known[ANSWER], known[TARGET]).to_dict()
    return taught


def keep(bucket: Bucket, parts: Sequence[str], folder: str) -> None:
    """Put together what chunks have taught, and keep it in place of what an earlier reference taught."""
    calibration: Labelled | None = None
    errors: dict[str, Any] | None = None
    for key in parts:
        taught = json.loads(bucket.read(key))
        errors = errors or taught["errors"]
        if taught["calibration"]:
            more = Labelled.from_dict(taught["calibration"])
            calibration = _merged(calibration, more) if calibration else more
    if calibration and calibration.seen.sum() < LEAST_ROWS:
        calibration = None
    kept = {"calibration": calibration.to_dict() if calibration else None, "errors": errors}
    for name, each in kept.items():
        key = f"{folder}/{name}.json"
        if each or bucket.has(key):
            bucket.write(key, json.dumps(each).encode())


def _calibration(known: Mapping[str, Sequence[Any]]) -> Labelled | None:
    names = sorted({*known[ANSWER], *known[TARGET]})
    sure = known.get(CONFIDENCE)
    if sure is None or len(names) > MOST_LABELS:
        return None
    place = {name: at for at, name in enumerate(names)}
    rows = [row for row, told in enumerate(sure) if told is not None and math.isfinite(told)]
    given = [[values[row] for row in rows] for values in (known[ANSWER], sure, known[TARGET])]
    return Labelled.of(names, [place[name] for name in given[0]], given[1], [place[name] for name in given[2]])


def _merged(one: Labelled, other: Labelled) -> Labelled:
    names = sorted({*one.names, *other.names})
    return one.over(names).merged(other.over(names))


def _is_known(answer: Any, target: Any) -> bool:
    values = (answer, target)
    return None not in values and all(isinstance(each, str) or math.isfinite(each) for each in values)
