"""A closed-loop HTTP client: each of N connections sends its next request when it has its last reply.

`python load.py` reads a plan as JSON from standard input, prints its figures as JSON and ends by itself. One thread for
all connections, HTTP/1.1 by hand: a client library would cost more than some of the servers that it measures. What the
client itself costs is part of every result (`client_us`, CPU time a request).
"""

import json
import math
import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice

REPLY_TIMEOUT_S = 30.0
_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: `bodies` in turn to one path, from so many connections, until the time or the requests run out.

    The client keeps to `cpus`, where there are any.
    """

    port: int
    path: str
    bodies: list[str]
    clients: int
    seconds: float
    request_limit: int = 1_000_000
    warm_up: int = 0
    cpus: list[int] = field(default_factory=list[int])


@dataclass(frozen=True, slots=True)
class Load:
    """What came back. A request that was not answered with 200 is counted as failed, and its time is not."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    rps: float
    client_us: float


class _Connection:
    """A kept connection with at most one request under way."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), REPLY_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._received = bytearray()
        self._end = 0
        self.status = 0
        self.sent_at = 0.0

    def send(self) -> None:
        """Send the next request."""
        self._received.clear()
        self._end = 0
        request = next(self._requests)
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; whether the reply is whole now."""
        data = self.socket.recv(_READ)
        if not data:
            raise ConnectionError("the server closed a kept connection")
        self._received += data
        if not self._end and (head := self._received.find(b"\r\n\r\n")) >= 0:
            self.status = int(self._received[9:12])
            self._end = head + 4 + _content_length(bytes(self._received[:head]))
        return 0 < self._end <= len(self._received)


def drive(plan: Plan) -> Load:
    """Send the plan's requests, the warm-up first, and measure."""
    requests = [_request(plan, body) for body in plan.bodies]
    starts = range(plan.clients)
    connections = [_Connection(plan.port, islice(cycle(requests), start, None)) for start in starts]
    try:
        if plan.warm_up:
            _exchange(connections, plan.warm_up, time.perf_counter() + REPLY_TIMEOUT_S)
        began, spent = time.perf_counter(), time.process_time()
        statuses, times = _exchange(connections, plan.request_limit, began + plan.seconds)
        wall, spent = time.perf_counter() - began, time.process_time() - spent
    finally:
        for connection in connections:
            connection.socket.close()
    good = sorted(each for each, status in zip(times, statuses, strict=True) if status == 200)
    return Load(
        requests=len(times),
        failed=len(times) - len(good),
        p50_ms=percentile(good, 0.50) * 1000,
        p99_ms=percentile(good, 0.99) * 1000,
        rps=len(good) / wall,
        client_us=spent / max(1, len(times)) * 1e6,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` of an ordered sequence does not exceed (nearest rank); NaN of nothing."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


def _exchange(connections: Sequence[_Connection], limit: int, deadline: float) -> tuple[list[int], list[float]]:
    """Keep every connection busy until `limit` replies or the deadline; what is under way then is still received."""
    statuses: list[int] = []
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        waiting = len(connections)
        while waiting:
            ready = selector.select(REPLY_TIMEOUT_S)
            if not ready:
                raise TimeoutError(f"no reply within {REPLY_TIMEOUT_S:g} s")
            for key, _ in ready:
                connection: _Connection = key.data
                if not connection.receive():
                    continue
                now = time.perf_counter()
                times.append(now - connection.sent_at)
                statuses.append(connection.status)
                if now < deadline and len(times) + waiting <= limit:
                    connection.send()
                else:
                    waiting -= 1
    return statuses, times


def _request(plan: Plan, body: str) -> bytes:
    data = body.encode()
    head = (
        f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("the reply has no Content-Length: this client reads no other")


if __name__ == "__main__":
    asked = Plan(**json.load(sys.stdin))
    if asked.cpus:
        os.sched_setaffinity(0, asked.cpus)
    print(json.dumps(asdict(drive(asked))))
