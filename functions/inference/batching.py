"""Merges requests that wait for the same model version into one run of it, and parts the answer again.

Nobody waits for company by default: a request that finds a free run takes it, and those that came while all runs were
busy go together with the next. A request that fills a batch by itself, or cannot be merged, takes a run like any
other. Merged are rows of equal shape under equal parameters. Models of texts compute one row after the other: of them a
few go together, which saves handing over, and no more, for each waits for the last.
The request that has waited longest runs the batch for the others: a thread that asks by itself, and for one that an
event loop asks for, a thread that is taken for the run alone. Requests that wait on a loop need no thread each, which
would then all want the interpreter at once: they keep their order, and the slowest comes sooner. Where there is but one
processor, others would wait for it anyway: a short run then takes no thread, and saves what handing over costs.
"""

import asyncio
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from inference.service import GENERATOR, TENSORS, size_of
from pawl.bundle import Manifest
from pawl.model import Answer, Column, Features, Model, Parameter, Run

_TEXT_ROWS = 4
"""With more, no more requests a second are answered, and the slowest wait longer."""
_MOST_THREADS = 32
_SHORT_S = 0.005
"""A run that is expected to take less is short."""
_TINY_S = 0.0002
"""The same of models that gain by merging: while the loop runs one, it reads no others that could go together. Handing
over takes as long."""
_MEMORY = 8
"""A model's pace is that of about so many runs."""


class _Turn(Protocol):
    def set(self) -> None: ...


class _LoopTurn:
    """The turn of a request that waits on an event loop; any thread may tell that it has come."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_come = asyncio.Event()
        self.wait = self._has_come.wait

    def set(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits there
            self._loop.call_soon_threadsafe(self._has_come.set)


@dataclass(slots=True, eq=False)
class _Request:
    """A request in line. When its turn comes it leads a batch, or has its answer, or else must run by itself.

    Those of equal likeness can go together; one without any goes alone.
    """

    inputs: Mapping[str, Column]
    rows: int
    turn: _Turn
    likeness: Hashable
    since: float = field(default_factory=time.monotonic)
    is_leader: bool = False
    answer: Answer | None = None

    def can_join(self, leader: "_Request") -> bool:
        return self.likeness is not None and self.likeness == leader.likeness


class Batcher:
    """Runs models for many threads at once; `run` takes the place of the service's own."""

    def __init__(
        self,
        row_limit: int,
        delay_s: float = 0.0,
        runs: int = 1,
        ran: Callable[[Manifest, int, float], None] = lambda manifest, rows, seconds: None,
    ) -> None:
        """At most `row_limit` rows a batch and `runs` batches of a model at a time; a request waits up to `delay_s` for
        company. `ran` is told of each run: whose, of how many rows, how many seconds it took."""
        self._row_limit = row_limit
        self._delay_s = delay_s
        self._runs = runs
        self._ran = ran
        self._lines: dict[str, _Line] = {}
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "batch")

    def run(self, model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]) -> Answer:
        """The model's answer to these inputs, computed alone or together with others'; the thread waits for it."""
        line, (rows, likeness) = self._line(model), self._place(model, inputs, parameters)
        while True:
            turn = threading.Event()
            request = _Request(inputs, rows, turn, likeness)
            if not line.enter(request):
                turn.wait()
            if request.is_leader:
                self._lead(line, request, model, parameters)
            if request.answer is not None:
                return request.answer
            likeness = None  # its batch has failed: whose fault that was shows when each runs by itself

    async def run_async(
        self, model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]
    ) -> Answer:
        """The same, while the event loop goes on."""
        line, (rows, likeness) = self._line(model), self._place(model, inputs, parameters)
        while True:
            turn = _LoopTurn()
            request = _Request(inputs, rows, turn, likeness)
            if not line.enter(request):
                try:
                    await turn.wait()
                except BaseException:
                    line.forsake(request)
                    raise
            if request.is_leader:
                lead = functools.partial(self._lead, line, request, model, parameters)
                if self._is_short(line, request, model.manifest):
                    lead()
                else:
                    await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, lead))
            if request.answer is not None:
                return request.answer
            likeness = None

    def _line(self, model: Model) -> "_Line":
        return self._lines.get(model.digest) or self._lines.setdefault(model.digest, _Line(self._runs))

    def _place(
        self, model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]
    ) -> tuple[int, Hashable]:
        """How many rows a request counts as, and its likeness."""
        rows = _count_rows(model.manifest, inputs)
        has_room = 0 < rows < self._most_rows(model.manifest)
        return max(rows, 1), _likeness(model.manifest, inputs, parameters) if has_room else None

    def _most_rows(self, manifest: Manifest) -> int:
        return self._row_limit if manifest.kind == TENSORS else min(self._row_limit, _TEXT_ROWS)

    def _is_short(self, line: "_Line", request: _Request, manifest: Manifest) -> bool:
        """Whether a request had better run on the event loop that asks for it."""
        if self._runs > 1 or self._delay_s > 0:
            return False
        return line.pace_s * _size(request.inputs) < (_TINY_S if manifest.kind == TENSORS else _SHORT_S)

    def waiting(self) -> int:
        """How many requests are in line."""
        return sum(len(line.waiting) for line in list(self._lines.values()))

    def _lead(self, line: "_Line", leader: _Request, model: Model, parameters: Mapping[str, Parameter]) -> None:
        batch = line.gather(leader, self._most_rows(model.manifest), self._delay_s)
        try:
            inputs = leader.inputs if len(batch) == 1 else _merge([request.inputs for request in batch])
            answer, took_s = self._predict(model, inputs, parameters, sum(request.rows for request in batch))
            line.note_pace(took_s / _size(inputs))
            if len(batch) == 1:
                leader.answer = answer
            else:
                _part(answer, batch)
        except Exception:
            if len(batch) == 1:
                raise  # else nobody fails for a neighbour
        finally:
            line.leave(batch)

    def _predict(
        self, model: Model, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter], rows: int
    ) -> tuple[Answer, float]:
        """The answer, and the seconds that it took."""
        began = time.perf_counter_ns()
        answer = model.predict(inputs, parameters)
        took_ns = time.perf_counter_ns() - began
        self._ran(model.manifest, rows, took_ns / 1e9)
        return answer._replace(run=Run(took_ns, 1)), took_ns / 1e9


class _Line:
    """Who waits for one model version, oldest first, and how many batches of it run.

    `pace_s`: the seconds that a byte of its inputs takes, by its last runs.
    """

    def __init__(self, runs: int) -> None:
        self.waiting: deque[_Request] = deque()
        self.pace_s = float("inf")
        self._free = runs
        self._is_gathering = False
        self._changed = threading.Condition()

    def enter(self, request: _Request) -> bool:
        """Whether the request leads a batch right now; else it is in line."""
        with self._changed:
            self.waiting.append(request)
            self._appoint()
            self._changed.notify()
            return request.is_leader

    def gather(self, leader: _Request, row_limit: int, delay_s: float) -> list[_Request]:
        """The leader and those in line who can go with it, once there are enough or its patience has ended."""
        with self._changed:
            self._is_gathering = True
            while (
                leader.likeness
                and self._rows_like(leader) < row_limit
                and (left := leader.since + delay_s - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            self._is_gathering = False
            batch, rows = [leader], leader.rows
            for request in self.waiting:
                if request.can_join(leader) and rows + request.rows <= row_limit:
                    batch.append(request)
                    rows += request.rows
            self.waiting = deque(request for request in self.waiting if request not in batch)
            self._appoint()
            return batch

    def leave(self, batch: Sequence[_Request]) -> None:
        """The batch has run: its requests go on, and the oldest in line leads the next."""
        with self._changed:
            self._free += 1
            self._appoint()
        for request in batch:
            request.turn.set()

    def forsake(self, request: _Request) -> None:
        """Nobody waits for a request any more: it has no turn, or passes it on."""
        with self._changed:
            if request in self.waiting:
                self.waiting.remove(request)
            elif request.is_leader:
                self._free += 1
                self._appoint()

    def note_pace(self, seconds: float) -> None:
        """A byte took so many seconds."""
        known = self.pace_s
        self.pace_s = seconds if known == float("inf") else known + (seconds - known) / _MEMORY

    def _appoint(self) -> None:
        """Make the oldest in line a leader, if a run is free and nobody gathers a batch that it may join."""
        if self.waiting and self._free and not self._is_gathering:
            self._free -= 1
            leader = self.waiting.popleft()
            leader.is_leader = True
            leader.turn.set()

    def _rows_like(self, leader: _Request) -> int:
        return leader.rows + sum(each.rows for each in self.waiting if each.can_join(leader))


def _size(inputs: Mapping[str, Column]) -> int:
    """About how many bytes the inputs are; one, where they are none."""
    return max(1, sum(map(size_of, inputs.values())))


def _count_rows(manifest: Manifest, inputs: Mapping[str, Column]) -> int:
    """The rows of a request that others may join; 0 where the model's answer is not one row for one row."""
    if manifest.kind == GENERATOR or any(each.shape[:1] != [-1] for each in (*manifest.inputs, *manifest.outputs)):
        return 0
    if any(each.datatype == "BYTES" and len(each.shape) != 1 for each in manifest.inputs):
        return 0
    counts = {len(column) for column in inputs.values()}
    return counts.pop() if len(counts) == 1 else 0


def _likeness(manifest: Manifest, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]) -> Hashable:
    """Requests for which this is equal can be merged."""
    columns = (inputs[tensor.name] for tensor in manifest.inputs)
    shapes = tuple(column.shape[1:] if isinstance(column, np.ndarray) else () for column in columns)
    return shapes, tuple(sorted((name, type(value), value) for name, value in parameters.items()))


def _merge(parts: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    merged: dict[str, Column] = {}
    for name, first in parts[0].items():
        columns = [part[name] for part in parts]
        is_array = isinstance(first, np.ndarray)
        merged[name] = np.concatenate(columns) if is_array else [value for column in columns for value in column]
    return merged


def _part(answer: Answer, batch: Sequence[_Request]) -> None:
    """Give each request its rows of the answer; ValueError when the answer does not have theirs."""
    rows = sum(request.rows for request in batch)
    if any(len(column) != rows for column in answer.outputs.values()):
        raise ValueError("the answer has not as many rows as its inputs")
    features, run = functools.cache(answer.features), answer.run
    start = 0
    for request in batch:
        place = slice(start, start + request.rows)
        outputs = {name: column[place] for name, column in answer.outputs.items()}
        request.answer = Answer(outputs, functools.partial(_features, features, place), run=run)
        run = run and run._replace(executions=0)  # the first of them counts it
        start += request.rows


def _features(features: Callable[[], Features], place: slice) -> Features:
    return {name: column[place] for name, column in features().items()}
