"""Concept drift by control charts: Page-Hinkley, DDM and EDDM, each a few running sums, computed block by block.

Defaults and details are river's (0.26), where the papers leave them open, and so are the detections.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pawl.detector import Detector, Floats, first


class PageHinkley(Detector):
    """A cumulated deviation from the mean, beyond `delta` a value, of more than `threshold` (Page 1954).

    Sees rising and falling means. `alpha` is how much of the cumulated sum is kept with each value.
    """

    name = "page_hinkley"
    settings = ("min_instances", "delta", "threshold", "alpha")
    memory = ("count", "total", "rise", "lowest", "fall", "highest")

    def __init__(
        self, min_instances: int = 30, delta: float = 0.005, threshold: float = 50.0, alpha: float = 1 - 0.0001
    ) -> None:
        self.min_instances, self.delta, self.threshold, self.alpha = min_instances, delta, threshold, alpha
        # alpha ** -block must not outgrow the sums that it scales.
        self.longest_block = 65536 if alpha >= 1 else max(1, int(-math.log(1e3) / math.log(alpha)))
        self.reset()

    def reset(self) -> None:
        """Forget all values but their number."""
        self.count, self.total = 0, 0.0
        self.rise = self.fall = self.lowest = self.highest = 0.0

    def _advance(self, block: Floats) -> int | None:
        counts = self.count + np.arange(1, block.size + 1)
        totals = self.total + np.cumsum(block)
        apart = block - totals / counts
        rises, falls = self._faded(apart - self.delta, self.rise), self._faded(apart + self.delta, self.fall)
        lowest = np.minimum.accumulate(np.concatenate(([self.lowest if self.count else math.inf], rises)))[1:]
        highest = np.maximum.accumulate(np.concatenate(([self.highest if self.count else -math.inf], falls)))[1:]
        is_far = (rises - lowest > self.threshold) | (highest - falls > self.threshold)
        drift = first(is_far & (counts >= self.min_instances))
        if drift is None:
            self.count, self.total, self.state = int(counts[-1]), float(totals[-1]), "stable"
            self.rise, self.fall = float(rises[-1]), float(falls[-1])
            self.lowest, self.highest = float(lowest[-1]), float(highest[-1])
        return drift

    def _faded(self, steps: Floats, before: float) -> Floats:
        """sums[t] = alpha * sums[t - 1] + steps[t], from sums[-1] = before."""
        scale = self.alpha ** np.arange(1, steps.size + 1)
        return scale * (before + np.cumsum(steps / scale))


class DDM(Detector):
    """An error rate that has risen `drift_threshold` deviations above its lowest (Gama et al. 2004).

    The rate and its deviation are those of a binomial; the lowest is where their sum was. Of errors, 1 or 0. A stream
    without any error in its first `warm_start` values alarms on the first one: that is the method.
    """

    name = "ddm"
    settings = ("warm_start", "warning_threshold", "drift_threshold")
    memory = ("count", "errors", "lowest_rate", "lowest_deviation")
    is_binary = True

    def __init__(self, warm_start: int = 30, warning_threshold: float = 2.0, drift_threshold: float = 3.0) -> None:
        self.warm_start, self.warning_threshold, self.drift_threshold = warm_start, warning_threshold, drift_threshold
        self.reset()

    def reset(self) -> None:
        """Forget all values but their number."""
        self.count, self.errors = 0, 0
        self.lowest_rate: float | None = None
        self.lowest_deviation: float | None = None

    def _advance(self, block: Floats) -> int | None:
        counts = self.count + np.arange(1, block.size + 1)
        errors = self.errors + np.cumsum(block)
        rates = errors / counts
        deviations = np.sqrt(rates * (1 - rates) / counts)
        lowest_rates, lowest_deviations = self._lowest(counts, rates, deviations)
        beyond = rates + deviations - lowest_rates
        drift = first(beyond > self.drift_threshold * lowest_deviations)
        if drift is None:
            self.count, self.errors = int(counts[-1]), int(errors[-1])
            if self.count > self.warm_start:
                self.lowest_rate, self.lowest_deviation = float(lowest_rates[-1]), float(lowest_deviations[-1])
            is_high = bool(beyond[-1] > self.warning_threshold * lowest_deviations[-1])
            self.state = "warning" if is_high else "stable"
        return drift

    def _lowest(self, counts: NDArray[np.int64], rates: Floats, deviations: Floats) -> tuple[Floats, Floats]:
        """The rate and deviation where their sum was lowest so far; infinite in the warm-up, where nothing is high."""
        rate = math.inf if self.lowest_rate is None else self.lowest_rate
        deviation = math.inf if self.lowest_deviation is None else self.lowest_deviation
        sums = np.concatenate(([rate + deviation], np.where(counts > self.warm_start, rates + deviations, math.inf)))
        is_lowest = sums <= np.minimum.accumulate(sums)
        at = np.maximum.accumulate(np.where(is_lowest, np.arange(sums.size), 0))[1:]
        is_warm = np.isfinite(sums[at])
        return (
            np.where(is_warm, np.concatenate(([rate], rates))[at], math.inf),
            np.where(is_warm, np.concatenate(([deviation], deviations))[at], math.inf),
        )


class EDDM(Detector):
    """Errors that come closer together than they ever did: below `beta` of the widest (Baena-Garcia et al. 2006).

    How far apart is the mean distance of errors plus two deviations, over all since the last drift; below `alpha` of
    the widest is a warning. Of errors, 1 or 0; tested from `warm_start` errors on. With the paper's 0.95 and 0.9 it
    alarms often on streams that did not change.
    """

    name = "eddm"
    settings = ("warm_start", "alpha", "beta")
    memory = ("count", "errors", "last_error", "distances", "squares", "widest")
    is_binary = True

    def __init__(self, warm_start: int = 30, alpha: float = 0.95, beta: float = 0.9) -> None:
        self.warm_start, self.alpha, self.beta = warm_start, alpha, beta
        self.reset()

    def reset(self) -> None:
        """Forget all values but their number."""
        self.count, self.errors, self.last_error = 0, 0, 0
        self.distances, self.squares = 0, 0
        self.widest = -1.0

    def _advance(self, block: Floats) -> int | None:
        at = self.count + 1 + np.flatnonzero(block)
        if at.size == 0:
            self.count += block.size
            self.state = "stable" if self.state == "drift" else self.state
            return None
        apart = np.diff(at, prepend=self.last_error)
        errors = self.errors + np.arange(1, at.size + 1)
        distances, squares = self.distances + np.cumsum(apart), self.squares + np.cumsum(apart * apart)
        widths = _spread(errors, distances, squares)
        is_counted = at > self.warm_start
        widest = np.maximum.accumulate(np.concatenate(([self.widest], np.where(is_counted, widths, -1.0))))
        is_tested = is_counted & (widths <= widest[:-1]) & (errors > self.warm_start)
        levels = np.where(is_tested, widths / np.where(is_tested, widest[1:], 1.0), 1.0)
        drift = first(levels < self.beta)
        if drift is not None:
            return int(at[drift]) - self.count - 1
        self.count, self.errors, self.last_error = self.count + block.size, int(errors[-1]), int(at[-1])
        self.distances, self.squares, self.widest = int(distances[-1]), int(squares[-1]), float(widest[-1])
        self._judge(levels[is_tested])
        return None

    def _judge(self, levels: Floats) -> None:
        if levels.size:
            self.state = "warning" if levels[-1] < self.alpha else "stable"
        elif self.state == "drift":
            self.state = "stable"


def _spread(rows: NDArray[np.int64], totals: NDArray[np.int64], squares: NDArray[np.int64]) -> Floats:
    """The mean plus two deviations of so many numbers with these sums, which are whole and so exact."""
    spread = np.maximum(0.0, squares - totals * (totals / rows)) / np.maximum(1, rows - 1)
    return totals / rows + 2 * np.sqrt(spread)
