"""Two trainings in one process that take their steps in turn, so that whatever else the machine does falls on both.

Each runs in a thread of its own and waits before every step until the other has taken its. On a CPU a step's time is
the processor time of that thread alone: neighbours, the other training and a checkpoint's storing do not count.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Trainer, TrainerCallback

Floats = NDArray[np.float64]
WARM_UP = 4
"""Steps of each that are not counted."""
RESAMPLES = 2000


class _Turns(TrainerCallback):
    """Takes the time from the beginning of a step to that of the next, logs and callbacks included."""

    def __init__(self, mine: threading.Semaphore, other: threading.Semaphore, clock: Callable[[], float]) -> None:
        self._mine = mine
        self._other = other
        self._clock = clock
        self._began: float | None = None
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """End the step before, let the other take one, and begin."""
        self._end()
        self._other.release()
        self._mine.acquire()
        self._began = self._clock()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """End the last step."""
        self._end()

    def _end(self) -> None:
        if self._began is not None:
            self.seconds.append(self._clock() - self._began)


def in_turn(trainers: Sequence[Trainer]) -> tuple[Floats, Floats]:
    """The seconds of each step of two trainings, the warm-up left out; shape (steps,) each."""
    gates = [threading.Semaphore(1), threading.Semaphore(0)]
    clock = _on_gpu if torch.cuda.is_available() and not trainers[0].args.use_cpu else time.thread_time
    turns = [_Turns(gates[place], gates[1 - place], clock) for place in range(2)]

    def run(place: int) -> None:
        torch.set_num_threads(1)
        gates[place].acquire()
        try:
            trainers[place].add_callback(turns[place])
            trainers[place].train()
        finally:
            gates[1 - place].release()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, place) for place in range(2)]:
            done.result()
    ours, theirs = (np.array(each.seconds[WARM_UP:]) for each in turns)
    return ours, theirs


def ratio(ours: Floats, theirs: Floats, seed: int = 0) -> tuple[float, float, float]:
    """How much faster we are, from times taken in pairs, with its 95 % interval (bootstrap over pairs).

    >>> ratio(np.array([2.0, 2.0]), np.array([1.0, 1.0]))
    (0.5, 0.5, 0.5)
    """
    drawn = np.random.default_rng(seed).integers(0, ours.size, (RESAMPLES, ours.size))
    low, high = np.quantile(theirs[drawn].sum(1) / ours[drawn].sum(1), [0.025, 0.975]).tolist()
    return float(theirs.sum() / ours.sum()), low, high


def _on_gpu() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
