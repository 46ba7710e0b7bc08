"""Concept drift by comparing an older and a newer window of values: ADWIN and KSWIN.

Defaults and details are river's (0.26), where the papers leave them open, and so are the detections.
"""

import base64
import math
import random
import struct
from bisect import bisect_right
from typing import Any

from pawl.detector import Detector, Floats
from pawl.errors import InvalidRequest
from pawl.testing import equal_samples_survival

# random.Random's own state: the Mersenne Twister's 624 words and a position.
_GENERATOR = struct.Struct("<625I")
_GENERATOR_VERSION = 3


class ADWIN(Detector):
    """A window that is as long as its mean has not changed (Bifet, Gavalda 2007: ADWIN2).

    `rows[i]` holds the sums of at most `max_buckets` buckets of 2 ** i values each, oldest first, so n values take
    O(log n) memory. Every `clock` values each border between buckets is tried as a cut; `delta` bounds the risk of a
    false alarm at one.
    """

    name = "adwin"
    settings = ("delta", "clock", "max_buckets", "min_window_length", "grace_period")
    memory = ("rows", "width", "total", "squares", "ticks")

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        self.delta, self.clock, self.max_buckets = delta, clock, max_buckets
        self.min_window_length, self.grace_period = min_window_length, grace_period
        self.reset()

    def reset(self) -> None:
        """Forget all values but their number."""
        self.rows: list[list[float]] = [[]]
        self.width, self.ticks = 0, 0
        self.total, self.squares = 0.0, 0.0

    @property
    def mean(self) -> float:
        """The mean of the window, which is that of the present concept; 0 without values."""
        return self.total / self.width if self.width else 0.0

    def _advance(self, block: Floats) -> int | None:
        self.state = "stable"
        for index, value in enumerate(block.tolist()):
            self._insert(value)
            self.ticks += 1
            if self.ticks % self.clock == 0 and self.width > self.grace_period and self._has_cut():
                return index
        return None

    def _insert(self, value: float) -> None:
        if self.width:
            apart = value - self.total / self.width
            self.squares += self.width * apart * apart / (self.width + 1)
        self.width += 1
        self.total += value
        self.rows[0].append(value)
        for level, row in enumerate(self.rows):
            if len(row) <= self.max_buckets:
                return
            if level + 1 == len(self.rows):
                self.rows.append([])
            self.rows[level + 1].append(row[0] + row[1])
            del row[:2]

    def _has_cut(self) -> bool:
        """Whether the means of the values before and after some border differ more than chance allows.

        The window then starts afresh, so it does not matter which of the cuts it is, nor what would be left of it.
        """
        confidence = math.log(2 * math.log(self.width) / self.delta)
        spread = 2 * self.squares / self.width * confidence
        least, before, sums = self.min_window_length, 0, 0.0
        for level in range(len(self.rows) - 1, -1, -1):
            for bucket in self.rows[level]:
                before += 1 << level
                sums += bucket
                after = self.width - before
                if after < least:
                    return False
                if before >= least:
                    harmonic = 1 / (before - least + 1) + 1 / (after - least + 1)
                    apart = sums / before - (self.total - sums) / after
                    if abs(apart) > math.sqrt(harmonic * spread) + 2 / 3 * confidence * harmonic:
                        return True
        return False


class KSWIN(Detector):
    """The newest `stat_size` values against as many drawn from the rest of the window (Raab et al. 2020).

    A two-sample Kolmogorov-Smirnov test with every value, exact, at `alpha` and a distance above 0.1. The draw is the
    standard library's, seeded anew after each drift, and its state is kept, so the same values give the same drifts.
    """

    name = "kswin"
    settings = ("alpha", "window_size", "stat_size", "seed")
    memory = ("window", "generator")

    def __init__(self, alpha: float = 0.005, window_size: int = 100, stat_size: int = 30, seed: int = 7) -> None:
        if not 0 < 2 * stat_size <= window_size:
            raise InvalidRequest(f"stat_size {stat_size} of window_size {window_size}: want at most half of it")
        self.alpha, self.window_size, self.stat_size, self.seed = alpha, window_size, stat_size, seed
        far = (k for k in range(1, stat_size + 1) if k > 0.1 * stat_size)
        self._limit = next((k for k in far if equal_samples_survival(k, stat_size) <= alpha), stat_size + 1)
        self.reset()

    def reset(self) -> None:
        """Forget all values but their number."""
        self.window: list[float] = []
        self._random = random.Random(self.seed)

    @property
    def generator(self) -> str:
        """The state of the draw, as text."""
        return base64.b64encode(_GENERATOR.pack(*self._random.getstate()[1])).decode()

    @generator.setter
    def generator(self, text: str) -> None:
        state: Any = (_GENERATOR_VERSION, _GENERATOR.unpack(base64.b64decode(text)), None)
        self._random.setstate(state)

    def _advance(self, block: Floats) -> int | None:
        self.state = "stable"
        old = range(self.window_size - self.stat_size)
        for index, value in enumerate(block.tolist()):
            self.window.append(value)
            if len(self.window) < self.window_size:
                continue
            del self.window[: len(self.window) - self.window_size]
            drawn = sorted([self.window[k] for k in self._random.sample(old, self.stat_size)])
            if _steps_apart(drawn, sorted(self.window[-self.stat_size :])) >= self._limit:
                return index
        return None


def _steps_apart(left: list[float], right: list[float]) -> int:
    """The Kolmogorov-Smirnov distance of two sorted samples of the same size, times that size."""
    return max(abs(bisect_right(left, value) - bisect_right(right, value)) for value in dict.fromkeys([*left, *right]))
