"""Profiles and their comparison as plain tables and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from drift.judgement import ColumnDrift
from pawl.profile import CategorySketch, FloatSketch, NumericSketch, Profile, Sketch

SHARES = (0.01, 0.25, 0.5, 0.75, 0.99)
_NAMES = 5


def describe(profile: Profile) -> list[dict[str, Any]]:
    """What is to be told of each column."""
    return [
        {"column": name, "kind": _kind(sketch), "rows": sketch.rows, "missing": sketch.missing, **_values(sketch)}
        for name, sketch in profile.columns.items()
    ]


def profile_table(profile: Profile) -> str:
    """A line for each column: numbers by moments and quantiles, names by the most frequent."""
    heads = ["column", "kind", "rows", "missing", "mean", "sd", "min", *(f"{share:.0%}" for share in SHARES), "max"]
    rows = [heads]
    for each in describe(profile):
        row = [each["column"], each["kind"], str(each["rows"]), str(each["missing"])]
        if "top" in each:
            told = ", ".join(f"{name} {count / max(1, each['rows']):.0%}" for name, count in each["top"])
            rows.append([*row, f"{each['distinct']} different: {told}"])
        else:
            numbers = [each["mean"], each["sd"], each["min"], *each["quantiles"].values(), each["max"]]
            rows.append([*row, *map(_short, numbers)])
    return _lines(rows)


def drift_table(columns: Sequence[ColumnDrift]) -> str:
    """A line for each column that was compared, the largest shift first."""
    heads = ["column", "measure", "distance", "stability", "effect", "p, corrected", ""]
    ordered = sorted(columns, key=lambda column: -column.effect)
    rows = [
        [
            each.column,
            each.measure,
            _short(each.distance),
            _short(each.stability if each.tie is None else None),
            _short(each.effect),
            _short(each.adjusted),
            _verdict(each),
        ]
        for each in ordered
    ]
    return _lines([heads, *rows])


def _verdict(drift: ColumnDrift) -> str:
    if not drift.has_drifted:
        return ""
    return "DRIFTED" if (tie := drift.tie) is None else f"DRIFTED: {tie.sentence}, {tie.before:.2f} to {tie.now:.2f}"


def _kind(sketch: Sketch) -> str:
    kinds = {NumericSketch: "numbers in bins", FloatSketch: "numbers", CategorySketch: "names"}
    return kinds[type(sketch)]


def _values(sketch: Sketch) -> dict[str, Any]:
    if isinstance(sketch, CategorySketch):
        return {"distinct": sketch.distinct, "others": sketch.others, "top": sketch.top(_NAMES)}
    if not sketch.rows:
        return {"mean": None, "sd": None, "min": None, "quantiles": dict.fromkeys(map(str, SHARES)), "max": None}
    return {
        "mean": sketch.mean,
        "sd": math.sqrt(sketch.variance()) if math.isfinite(sketch.variance()) else None,
        "min": sketch.minimum,
        "quantiles": {str(share): sketch.quantile(share) for share in SHARES},
        "max": sketch.maximum,
    }


def _short(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns, the first row their heads; the last value of a shorter row stands over all the rest."""
    size = len(rows[0])
    widths = [max(len(row[n]) for row in rows if len(row) == size or n < len(row) - 1) for n in range(size)]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=False)).rstrip() for row in rows
    )
