"""The limits of all gates in one place, and a model's own in a file.

`models/<model>/policy.json` in the bucket holds any of these fields beside `"schema": 1`; what it leaves out keeps its
default. A file with an unknown field or an impossible value refuses every candidate until it is mended: a limit that
somebody meant to set must not be ignored.
"""

import json
import math
from dataclasses import dataclass, fields, replace
from typing import Any

from pawl.bucket import Bucket
from pawl.errors import NotFound, SettingsError
from pawl.narrowing import is_list, is_object

SCHEMA = 1
PERMISSIVE = (
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "CC-BY-4.0",
)
"""Licences that ask for no more than to be named."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The thresholds of the gates; shares and accuracies lie between 0 and 1."""

    # --- how everything is measured
    confidence: float = 0.95
    """Of every interval, share."""
    resamples: int = 1000
    """Resamples of a bootstrap, count."""
    seed: int = 20
    """Of resampling, perturbations and attacks: the same candidate gets the same verdict."""
    rows_at_most: int = 2000
    """Rows of a split that are answered, count; of more, those whose digests come first."""
    budget_s: float = 240.0
    """Seconds until attacks take no further row; the evidence says how many they took. The function has 900."""

    # --- quality
    holdout_margin: float = 0.02
    """Accuracy that may be lost on the inherited holdout, beyond one standard error of the paired difference."""
    recent_minimum_rows: int = 10
    """Held-out rows of recent traffic, count; with fewer, what is asked of recent traffic is asked of nobody."""
    slice_minimum_rows: int = 20
    """Rows of a slice or of a group, count; a smaller one is not judged."""
    slice_margin: float = 0.05
    """Accuracy that may be lost in a slice; more is refused where it is no chance."""
    slice_alpha: float = 0.05
    """The risk that chance alone refuses any slice: p-values are corrected for their number (Holm 1979)."""
    mended_minimum_rows: int = 10
    """Rows that the live version has wrong, count; with fewer, none must be mended, and recent ones but be kept."""
    mended_share: float = 0.1
    """Share of the live version's mistakes on held-out rows that must be mended; refused if surely less."""
    learned_share: float = 0.5
    """Share of the live version's mistakes that people corrected, and that were trained on, that must be right now."""
    broken_share: float = 0.1
    """Share of the live version's right answers that may be wrong now; refused if surely more."""
    log_loss_margin: float = 0.1
    """Nats of log loss a row that may be lost; refused if surely more."""
    calibration_margin: float = 0.05
    """How much the expected calibration error may rise; refused if surely more."""

    # --- fairness
    protected: tuple[str, ...] = ()
    """Attributes of rows' slices whose groups must fare alike; none named means all of them."""
    favourable: tuple[str, ...] = ()
    """Labels that are the good outcome for a person; named, parity and odds are those of getting one of them."""
    fairness_margin: float = 0.05
    """How much a gap between groups may be wider than the live version's; refused if surely more."""
    demographic_parity_limit: float = 0.2
    """Difference between groups in how often they get a favourable label; refused if surely more."""
    equalized_odds_limit: float = 0.2
    """Difference between groups in true or false positive rate of favourable labels; refused if surely more."""
    disparate_impact_least: float = 0.8
    """Ratio between groups of how often they get a favourable label, the four-fifths rule; refused if surely less."""

    # --- robustness
    perturbed_rows: int = 100
    """Holdout rows that are answered again with typos, other words and the like, count; 0 asks for nothing."""
    perturbed_margin: float = 0.05
    """How much more accuracy may be lost by that than the live version loses, beyond one standard error."""
    attacked_rows: int = 40
    """Holdout rows that are attacked, count; 0 asks for nothing."""
    attack_queries: int = 60
    """Questions that an attack on one row may ask the model, count; of a tensor's values there are two."""
    attack_share: float = 0.3
    """Share of a text's words that an attack may change; of a tensor's values for `tensors`, all."""
    attack_epsilon: float = 0.1
    """How far an attack may move a number, in standard deviations of its column."""
    attack_margin: float = 0.1
    """How much more accuracy may be lost to attacks than the live version loses, beyond one standard error."""

    # --- preferences
    pairs_least: int = 8
    """Held-out comparisons that a reward model must be judged by, count."""
    win_margin: float = 0.05
    """How far below a half the lower end of a generator's win rate over the live version may lie."""
    win_prompts: int = 16
    """Held-out prompts that both generators answer anew in the release, count; `budget_s` may end it sooner."""
    win_tokens: int = 48
    """Most tokens of such an answer, count."""
    win_temperature: float = 0.7
    """At which both answer, as in training."""

    # --- speed, size, steadiness
    latency_ratio: float = 1.5
    """How much slower than the live version one answer may be, ratio."""
    cold_start_ratio: float = 1.5
    """How much longer than the live version's a fresh process may take to its first answer, ratio."""
    cold_start_runs: int = 3
    """Fresh processes for each, count, of which the fastest counts; 0 asks for nothing."""
    size_limit_bytes: int = 100_000_000
    """The largest bundle, so that function and layers stay within Lambda's 250 MB."""
    steady_rows: int = 100
    """Rows that are asked again, in another session and in a batch, count."""
    batch_agreement: float = 0.9
    """Share of rows answered alike alone and in a batch, where int8 rounds numbers by the whole batch; refused if
    surely less."""

    # --- origin
    licences: tuple[str, ...] = PERMISSIVE
    """Licences of the base model that may be served, as SPDX identifiers; upper and lower case are the same."""
    leak_share: float = 0.0
    """Share of held-out rows that may repeat a training row exactly or nearly."""

    @classmethod
    def from_json(cls, text: bytes | str, default: "GatePolicy") -> "GatePolicy":
        """The policy in a file over the default one; SettingsError names what is unknown or impossible."""
        try:
            raw: object = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"policy.json is no JSON: {error}") from error
        if not is_object(raw) or raw.get("schema") != SCHEMA:
            raise SettingsError(f'policy.json: want an object with "schema": {SCHEMA} and fields of a gate policy')
        known = {each.name for each in fields(cls)}
        given = {name: value for name, value in raw.items() if name != "schema"}
        if unknown := sorted(set(given) - known):
            raise SettingsError(f"policy.json: no field {', '.join(unknown)}: want some of {', '.join(sorted(known))}")
        return replace(default, **{name: _typed(name, value, getattr(default, name)) for name, value in given.items()})


def read_policy(bucket: Bucket, model: str, default: GatePolicy) -> GatePolicy:
    """The model's own policy, or the default where it has none."""
    try:
        text = bucket.read(f"models/{model}/policy.json")
    except NotFound:
        return default
    return GatePolicy.from_json(text, default)


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value as the field holds it: names, a count, or a number that is a share unless its name says otherwise."""
    if isinstance(default, tuple):
        if is_list(value) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise SettingsError(f"policy.json: {name}={value!r}: want a list of names")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(f"policy.json: {name}={value!r}: want a number")
    if isinstance(default, int):
        least = 100 if name == "resamples" else 0
        if not math.isfinite(value) or value != int(value) or value < least:
            raise SettingsError(f"policy.json: {name}={value!r}: want a whole number from {least}")
        return int(value)
    most = float("inf") if name.endswith(("_ratio", "_s", "_epsilon")) or name == "log_loss_margin" else 1.0
    if not math.isfinite(value) or not 0 <= value <= most or (name == "confidence" and not 0 < value < 1):
        raise SettingsError(
            f"policy.json: {name}={value!r}: want a number from 0{f' to {most:g}' if most == 1 else ''}"
        )
    return float(value)
