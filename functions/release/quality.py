"""Whether the candidate answers better, or at least no worse: on the frozen holdout, in each slice, on the newest
traffic, on the live version's past failures, and in how well it knows how sure to be.

Every comparison is paired, row by row. Where a limit is `refused if surely more`, the whole interval must lie beyond:
few rows prove nothing, and a candidate is not refused for what may be chance.
"""

from collections.abc import Sequence

import numpy as np

from pawl.calibration import calibration_error, log_loss
from pawl.dataset import Row
from pawl.intervals import Interval, bootstrap_mean, draws, percentiles, standard_error, wilson
from pawl.testing import holm, mcnemar_loss
from release.answers import Answers, Both, Floats
from release.gate import Gate, rounded, spoken
from release.policy import GatePolicy

_ERROR_BINS = 15


def holdout_gate(both: Both, policy: GatePolicy) -> Gate:
    """Not worse on the holdout inherited from version to version, within a margin and what chance does beside it.

    Chance is one standard error of the paired difference, the root of the answers that only one of them has right over
    the rows (McNemar 1947): a row or two of a hundred and fifty prove no loss, a point of ten thousand rows does.
    """
    new, old, rows, margin = both.new.accuracy, both.old.accuracy, len(both.rows), policy.holdout_margin
    error = standard_error(both.gains)
    least = old - margin - error
    return Gate(
        "holdout",
        round(old - new, 9) <= round(margin + error, 9),
        f"accuracy {new:.4f} on {rows} rows",
        f"at least {least:.4f}: the live version's {old:.4f} less {margin} and {error:.4f} that may be chance",
        rounded(new),
        rounded(least),
        _compared(both, policy),
    )


def recent_gate(both: Both, policy: GatePolicy) -> Gate:
    """Better on labelled traffic that neither version was trained on; where live has it all but right, as good.

    As good is one standard error of the paired difference: of few mistakes it is chance which version makes them.
    """
    if len(both.rows) < policy.recent_minimum_rows:
        return too_few("recent", len(both.rows), policy.recent_minimum_rows)
    new, old, mistakes = both.new.accuracy, both.old.accuracy, int((~both.old.right).sum())
    has_room, error = mistakes >= policy.mended_minimum_rows, standard_error(both.gains)
    least = old if has_room else old - error
    as_good = f"at least {least:.4f}: the live version's {old:.4f}, {mistakes} wrong, less {error:.4f} of chance"
    return Gate(
        "recent",
        new > old if has_room else round(old - new, 9) <= round(error, 9),
        f"accuracy {new:.4f} on {len(both.rows)} rows",
        f"above the live version's {old:.4f}" if has_room else as_good,
        rounded(new),
        rounded(least),
        _compared(both, policy),
    )


def slices_gate(both: Both, policy: GatePolicy) -> Gate:
    """No slice of the holdout loses more than its margin, unless that may be chance (McNemar, corrected by Holm)."""
    losses = [
        (name, part, mcnemar_loss(int((part.gains < 0).sum()), int((part.gains > 0).sum())))
        for name, part in slices(both)
        if len(part.rows) >= policy.slice_minimum_rows
    ]
    if not losses:
        return Gate("slices", True, "no slice is large enough", f"nothing below {policy.slice_minimum_rows} rows")
    adjusted = holm([chance for _, _, chance in losses])
    lost = {
        name: -float(part.gains.mean())
        for (name, part, _), chance in zip(losses, adjusted, strict=True)
        if -part.gains.mean() > policy.slice_margin and chance < policy.slice_alpha
    }
    name, worst, _ = min(losses, key=lambda each: float(each[1].gains.mean()))
    loss = -float(worst.gains.mean())
    told = ", ".join(f"{each} loses {points:.4f}" for each, points in lost.items())
    return Gate(
        "slices",
        not lost,
        told or f"worst of {len(losses)}: {name} {'loses' if loss > 0 else 'gains'} {abs(loss):.4f}",
        f"at most {policy.slice_margin} accuracy lost in a slice, or p of {policy.slice_alpha} or more",
        rounded(loss),
        policy.slice_margin,
        {each: [len(part.rows), rounded(part.new.accuracy), rounded(part.old.accuracy)] for each, part, _ in losses},
    )


def mended_gate(both: Both, policy: GatePolicy) -> Gate:
    """Of the rows held out that the live version has wrong, past failures, a share must be right now."""
    return _cured("mended", both, policy.mended_share, "of the live version's {} mistakes", policy)


def learned_gate(corrected: Both, policy: GatePolicy) -> Gate:
    """Of the live version's answers that people corrected, and that were trained on, a share must be right now."""
    return _cured("learned", corrected, policy.learned_share, "of {} corrected answers", policy)


def _cured(name: str, both: Both, least: float, told: str, policy: GatePolicy) -> Gate:
    """The gate on the share of the live version's failures that are right now; `told` takes how many there are."""
    failures = both.where(~both.old.right)
    rows = len(failures.rows)
    if rows < policy.mended_minimum_rows:
        return too_few(name, rows, policy.mended_minimum_rows)
    share, ends = failures.new.accuracy, wilson(failures.new.right.sum(), rows, policy.confidence)
    return Gate(
        name,
        ends[1] >= least,
        f"{share:.4f} {told.format(rows)}, {_between(ends)}",
        f"not surely below {least}",
        rounded(share),
        least,
        {"rows": rows, "interval": spoken(ends)},
    )


def broken_gate(both: Both, policy: GatePolicy) -> Gate:
    """Of the live version's right answers only a share may be wrong now: people notice those (Yan et al. 2021)."""
    kept = both.where(both.old.right)
    rows, most = len(kept.rows), policy.broken_share
    broken = int((~kept.new.right).sum())
    ends = wilson(broken, rows, policy.confidence)
    share = broken / rows if rows else 0.0
    return Gate(
        "broken",
        ends[0] <= most,
        f"{share:.4f} of the live version's {rows} right answers, {_between(ends)}",
        f"not surely above {most}",
        rounded(share),
        most,
        {"rows": rows, "interval": spoken(ends)},
    )


def calibration_gate(both: Both, policy: GatePolicy) -> Gate:
    """About as well as the live version it knows how sure to be; log loss as a proper score, and calibration error."""
    new, old = log_loss(both.new.likelihood), log_loss(both.old.likelihood)
    lost = _surprise(both.new) - _surprise(both.old)
    ends = bootstrap_mean(lost, policy.resamples, policy.seed, policy.confidence)
    rise, rise_ends = _calibration_rise(both, policy)
    return Gate(
        "calibration",
        ends[0] <= policy.log_loss_margin and not rise_ends[0] > policy.calibration_margin,
        f"log loss {new:.4f}, {new - old:+.4f} {_between(ends)}; calibration error {rise:+.4f} {_between(rise_ends)}",
        f"not surely more than {policy.log_loss_margin} nats and {policy.calibration_margin} above the live version's",
        rounded(new),
        rounded(old + policy.log_loss_margin),
        {"rows": len(both.rows), "live": rounded(old), "interval": spoken(ends), "error_interval": spoken(rise_ends)},
    )


def sureness_gate(both: Both, policy: GatePolicy) -> Gate:
    """Truer probabilities on labelled traffic that neither version has learned from, at no cost in accuracy.

    Asked of candidates whose probabilities alone were mended. Log loss decides, as a proper score; the calibration
    error is only told, since of few rows it is mostly noise.
    """
    if len(both.rows) < policy.recent_minimum_rows:
        return too_few("calibration", len(both.rows), policy.recent_minimum_rows)
    new, old = log_loss(both.new.likelihood), log_loss(both.old.likelihood)
    return Gate(
        "calibration",
        new < old and both.new.accuracy >= both.old.accuracy,
        f"{_sureness(both.new)} on {len(both.rows)} rows",
        f"log loss below the live version's, accuracy not below: {_sureness(both.old)}",
        rounded(new),
        rounded(old),
        _compared(both, policy),
    )


def slices(both: Both) -> list[tuple[str, Both]]:
    """The rows of each slice by `attribute=value`, in order."""
    names = sorted({(attribute, value) for row in both.rows for attribute, value in row.slices.items()})
    return [
        (f"{attribute}={value}", both.where(np.array([row.slices.get(attribute) == value for row in both.rows])))
        for attribute, value in names
    ]


def corrections(rows: Sequence[Row]) -> list[Row]:
    """The rows whose label came from people's feedback on traffic."""
    return [row for row in rows if row.source == "traffic"]


def too_few(name: str, rows: int, least: int) -> Gate:
    """A gate that asks for nothing, because of so few rows it could only guess."""
    return Gate(name, True, f"{rows} rows", f"nothing below {least} rows", evidence={"rows": rows})


def _compared(both: Both, policy: GatePolicy) -> dict[str, object]:
    """The paired difference in accuracy with its bootstrap interval and McNemar's test."""
    lost, won = int((both.gains < 0).sum()), int((both.gains > 0).sum())
    ends = bootstrap_mean(both.gains, policy.resamples, policy.seed, policy.confidence)
    return {
        "rows": len(both.rows),
        "live": rounded(both.old.accuracy),
        "difference": rounded(both.gains.mean()) if len(both.rows) else 0.0,
        "interval": spoken(ends),
        "lost": lost,
        "won": won,
        "p_lost_by_chance": rounded(mcnemar_loss(lost, won)),
    }


def _calibration_rise(both: Both, policy: GatePolicy) -> tuple[float, Interval]:
    drawn = draws(len(both.rows), policy.resamples, policy.seed)
    rise = _resampled_error(both.new, drawn) - _resampled_error(both.old, drawn)
    new, old = (calibration_error(each.sure, each.right) for each in (both.new, both.old))
    return new - old, percentiles(rise, policy.confidence)


def _resampled_error(answers: Answers, drawn: Floats) -> Floats:
    """The expected calibration error of each resample, shape (resamples,)."""
    at = np.minimum((answers.sure * _ERROR_BINS).astype(int), _ERROR_BINS - 1)
    apart = drawn @ (np.eye(_ERROR_BINS)[at] * (answers.sure - answers.right)[:, None])
    return np.abs(apart).sum(axis=1) / drawn.sum(axis=1)


def _surprise(answers: Answers) -> Floats:
    return np.array([log_loss([likelihood]) for likelihood in answers.likelihood.tolist()])


def _sureness(answers: Answers) -> str:
    error = calibration_error(answers.sure, answers.right)
    return (
        f"accuracy {answers.accuracy:.4f}, log loss {log_loss(answers.likelihood):.4f}, calibration error {error:.4f}"
    )


def _between(ends: Interval) -> str:
    return f"({ends[0]:.4f} to {ends[1]:.4f})"
