"""When a check speaks up: every limit in one place, with Evidently's defaults where it has one.

A model's own policy is a JSON file `models/<model>/drift.json` in the bucket with any of these fields; what it leaves
out keeps its default.
"""

import json
from dataclasses import dataclass, field, fields
from typing import Any

from pawl.errors import SettingsError
from pawl.limits import JENSEN_SHANNON_LIMIT, P_VALUE_LIMIT, WASSERSTEIN_LIMIT
from pawl.narrowing import is_list, is_object
from pawl.streams import DETECTORS

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """A shift counts when it is beyond its limit after chance is taken off, and unlikely to be chance as well."""

    alpha: float = P_VALUE_LIMIT
    """Of all tests of a window together: p-values are corrected for their number (Holm 1979), and looks at the newest
    part of a window by itself share it with that at the whole, see `drift.looks`."""
    label_alpha: float = 0.00135
    """Of accuracy by late labels, which every check tests anew: beyond three standard errors, as NannyML's band."""
    wasserstein_limit: float = WASSERSTEIN_LIMIT
    """Of a numeric column, in standard deviations of the reference; Evidently's."""
    jensen_shannon_limit: float = JENSEN_SHANNON_LIMIT
    """Of a category, in base 2; Evidently's 0.1 in natural logarithms."""
    stability_limit: float = 0.2
    """Population stability index of any column; custom's line. Outliers that hide a shift from the first two do not
    hide it here."""
    correlation_limit: float = 0.2
    """How far the correlation of two columns may move, each of which may have stayed where it was."""
    embedding_limit: float = 0.1
    """Of an embedding, a direction: in standard deviations, as a numeric column's."""
    missing_increase: float = 0.05
    """How much the share of missing values may rise."""
    outside_increase: float = 0.05
    """How much the share of values outside the reference's range, or the policy's, may rise."""
    new_category_share: float = 0.05
    """Share of rows with a category that the reference never saw."""
    accuracy_drop: float = 0.05
    """How far accuracy, estimated or measured, may fall."""
    error_rise: float = 0.1
    """By what share of the reference's a regression's estimated error may rise."""
    least_volume: float = 0.2
    """Traffic below this share of the same hours of earlier weeks is too little."""
    most_volume: float = 5.0
    """Traffic above this multiple of the same hours of earlier weeks is too much."""
    stale_hours: float = 72.0
    """The newest row of a window may be this old at its end; longer than a weekend."""
    earlier_weeks: int = 4
    """How many earlier weeks a shift is compared with."""
    least_weeks: int = 2
    """So many of them must have enough rows for that."""
    closing_checks: int = 3
    """An incident ends after so many stable checks in a row."""
    closing_hours: float = 2.0
    """The first and the last of these lie so far apart at least, however often it is checked."""
    wanted_labels: int = 100
    """Labels from before the window are added until there are so many."""
    label_days: int = 14
    """Labels of answers older than this are not looked at."""
    detectors: tuple[str, ...] = ("adwin", "page_hinkley")
    """Which detectors of concept drift follow the errors that late labels tell: some of `pawl.streams.DETECTORS`. They
    say since when; these two seldom alarm without cause."""
    prediction_columns: tuple[str, ...] = ("label", "confidence", "finish_reason", "logprob")
    """Columns that describe the answer; all others describe the question."""
    ignored_columns: tuple[str, ...] = ("latency_ms",)
    """Columns that are profiled and never judged."""
    ranges: dict[str, Range] = field(default_factory=dict[str, Range])
    """What a numeric column's values should lie between, where that is known better than the reference tells."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.detectors) - set(DETECTORS)):
            raise SettingsError(f"drift.json: detectors {unknown}: want some of {', '.join(sorted(DETECTORS))}")

    @classmethod
    def from_json(cls, text: bytes | str) -> "DriftPolicy":
        """The policy in a file; SettingsError names a field that is unknown or of the wrong type."""
        try:
            raw: object = json.loads(text)
        except ValueError as error:
            raise SettingsError("drift.json: want JSON") from error
        if not is_object(raw):
            raise SettingsError("drift.json: want an object with the fields of a drift policy")
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise SettingsError(f"drift.json: no field {', '.join(unknown)}: want some of {', '.join(sorted(known))}")
        return cls(**{name: _typed(name, value, getattr(DEFAULT, name)) for name, value in raw.items()})


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value as the field holds it."""
    if isinstance(default, tuple) and is_list(value):
        return tuple(str(each) for each in value)
    if isinstance(default, dict) and is_object(value):
        return {str(column): _range(column, span) for column, span in value.items()}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_whole = is_number and value == int(value)
    if isinstance(default, int | float) and is_number and value >= 0 and (is_whole or isinstance(default, float)):
        return type(default)(value)
    raise SettingsError(f"drift.json: {name}={value!r}: want something like {default!r}")


def _range(column: str, span: Any) -> Range:
    if is_list(span) and len(span) == 2 and all(isinstance(each, int | float) for each in span) and span[0] < span[1]:
        return float(span[0]), float(span[1])
    raise SettingsError(f"drift.json: ranges.{column}={span!r}: want [low, high]")


DEFAULT = DriftPolicy()
