"""Takes what was asked and answered on the reply's path for next to nothing, and sends it from a thread of its own.

A record is handed over as a function that makes it, and nobody is woken for it while a reply is on its way: where the
thread runs before the reply has left, it takes the interpreter, and on one vCPU the processor, from it. On Lambda
`inference.extension` knows when a reply has left; elsewhere the thread waits a few milliseconds after an offer.
"""

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from inference.delivery import LOST, Delivery, QueueSender, message_body, print_metric
from inference.settings import Settings
from pawl.errors import log_failure
from pawl.records import CaptureRecord

Make = Callable[[], CaptureRecord]

_LINGER_S = 0.005
_AT_ONCE = 10
_FEW, _SMALL_BYTES = 8, 65_536  # so few that are so small are taken without counting their bytes
_EXIT_S = 2.0


class Capture:
    """Keeps offered records, 10,000 that hold 64 MiB at most, until its thread has delivered them."""

    def __init__(self, delivery: Delivery, record_limit: int = 10_000, byte_limit: int = 64 * 2**20) -> None:
        self._delivery = delivery
        self.report = delivery.report
        self._record_limit = record_limit
        self._byte_limit = byte_limit
        self._lock = threading.RLock()  # a signal's handler may come while the same thread holds it
        self._offered: deque[tuple[Make, int]] = deque()
        self._held_bytes = 0
        self._in_flight = 0
        self._refused = 0
        self._signals: SimpleQueue[threading.Lock | None] = SimpleQueue()
        self._is_woken = False
        self._waits_for_reply = False
        threading.Thread(target=self._run, name="capture", daemon=True).start()

    def offer(self, make: Make, size: int) -> None:
        """Hand a record over; `make` is called later, by another thread, and `size` is about what it holds in bytes."""
        if size < _SMALL_BYTES and len(self._offered) < _FEW:
            self._offered.append((make, 0))
        else:
            self._offer_more(make, size)
        if not self._waits_for_reply:
            self.wake()

    def wait_for_reply(self) -> None:
        """From now on an offer wakes nobody: somebody else calls `wake` or `flush` when the reply has left."""
        self._waits_for_reply = True

    def wake(self) -> None:
        """Let what was offered be sent soon."""
        if not self._is_woken:
            self._is_woken = True
            self._signals.put(None)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything offered so far is sent, spilled or counted as lost; False when the time ran out."""
        done = threading.Lock()
        done.acquire()
        self._signals.put(done)
        return done.acquire(timeout=timeout_s)

    def close(self, timeout_s: float) -> None:
        """Deliver without retries, for the process ends; what is not delivered in time is counted as lost.

        Safe in a signal's handler. A record that is on its way when the time runs out may arrive all the same.
        """
        self._delivery.hurry()
        if self.flush(timeout_s):
            return
        with self._lock:
            left = self._in_flight + len(self._offered)
            self._offered.clear()
        if left:
            self.report(LOST, left, "the process ended before they were sent")

    def _offer_more(self, make: Make, size: int) -> None:
        """Hand over a large record or one of many; for others a lock would cost more, cold, than all the rest."""
        with self._lock:
            if len(self._offered) < self._record_limit and self._held_bytes + size <= self._byte_limit:
                self._offered.append((make, size))
                self._held_bytes += size
            else:
                self._refused += 1

    def _run(self) -> None:
        while True:
            done = self._signals.get()
            if done is None:
                time.sleep(_LINGER_S)
                self._is_woken = False
            self._send_all()
            if done is not None:
                done.release()

    def _send_all(self) -> None:
        while taken := self._take():
            try:
                self._delivery(body for make, _ in taken if (body := self._make(make)) is not None)
            except Exception as error:  # nobody would start this thread again
                log_failure(error, "capture")
                self._count_lost(len(taken), "sending them failed")
            with self._lock:
                self._in_flight = 0
                self._held_bytes -= sum(size for _, size in taken)

    def _take(self) -> list[tuple[Make, int]]:
        with self._lock:
            taken = [self._offered.popleft() for _ in range(min(_AT_ONCE, len(self._offered)))]
            self._in_flight = len(taken)
            refused, self._refused = self._refused, 0
        if refused:
            self._count_lost(refused, "too many were waiting to be sent")
        return taken

    def _make(self, make: Make) -> str | None:
        try:
            return message_body(make())
        except Exception as error:
            log_failure(error, "capture")
            self._count_lost(1, "the record could not be made")
            return None

    def _count_lost(self, count: int, reason: str) -> None:
        try:
            self.report(LOST, count, reason)
        except Exception as error:
            log_failure(error, "capture")


def open_capture(settings: Settings, function: str) -> Capture:
    """The capture of a deployment; whatever is left when the interpreter exits is delivered then."""
    dead_letters = settings.capture_dead_letter_queue_url
    spill = QueueSender(dead_letters) if dead_letters else None
    delivery = Delivery(QueueSender(settings.capture_queue_url), spill, partial(print_metric, function))
    capture = Capture(delivery)
    atexit.register(capture.close, _EXIT_S)
    return capture
