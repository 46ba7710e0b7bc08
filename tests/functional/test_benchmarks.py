"""The load generator against a real server, and programs that are started, asked and ended for good."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from benchmarks import rollback
from benchmarks.environments import Unavailable
from benchmarks.load import Plan, drive
from benchmarks.process import started
from release.incident import WANTED_S


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Counting = self.server  # type: ignore[assignment]
        server.asked.append((self.client_address[1], body))
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("content-length", "5000")
        self.end_headers()
        self.wfile.write(b"x" * 5000)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Counting(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[int, bytes]] = []


@pytest.fixture
def server() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def plan(server: Counting, **changed: object) -> Plan:
    given = {"port": server.server_port, "path": "/infer", "bodies": ["a", "b"], "clients": 3, "seconds": 30.0}
    return Plan(**{**given, "request_limit": 40, **changed})  # type: ignore[arg-type]


def is_running(pid: int) -> bool:
    """An orphan may wait for the system to take note of its end."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_load_ends_at_its_limit_over_as_many_kept_connections_as_there_are_clients(server: Counting):
    load = drive(plan(server))
    assert (load.requests, load.failed) == (40, 0)
    assert len(server.asked) == 40
    assert len({port for port, _ in server.asked}) == 3
    assert 0 < load.p50_ms <= load.p99_ms


def test_a_load_ends_when_its_time_is_up(server: Counting):
    load = drive(plan(server, seconds=0.0, request_limit=1000))
    assert load.requests == 3


def test_a_warm_up_is_sent_and_not_counted(server: Counting):
    assert drive(plan(server, warm_up=20)).requests == 40
    assert len(server.asked) == 60


def test_bodies_are_sent_in_turn_and_a_failed_request_is_counted_without_its_time(server: Counting):
    load = drive(plan(server, bodies=["good", "bad"], clients=1))
    assert (load.requests, load.failed) == (40, 20)
    assert [body for _, body in server.asked] == [b"good", b"bad"] * 20


def test_a_program_is_asked_measured_and_ended_with_its_children(tmp_path: Path):
    source = (
        "import subprocess, sys, time\n"
        "while time.process_time() < 0.05: pass\n"  # the system counts in hundredths of a second
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "for line in sys.stdin: print(child.pid, line.strip(), flush=True)\n"
    )
    with started([sys.executable, "-c", source], {}, tmp_path / "logs" / "program.log") as program:
        child, said = program.ask("hello").split()
        assert said == "hello"
        assert program.is_running
        assert program.memory_mb() > program.heap_mb() > 1
        assert program.cpu_s() > 0
    assert not is_running(int(child))


def test_a_program_that_has_ended_says_why(tmp_path: Path):
    source = "import sys; sys.exit('no model here')"
    with (
        started([sys.executable, "-c", source], {}, tmp_path / "program.log") as program,
        pytest.raises(Unavailable, match="it ended: no model here"),
    ):
        program.ask(json.dumps({}))


def test_a_rollback_is_measured_from_its_verdict_to_the_alias_as_it_was(numbering: None) -> None:
    assert 0 < rollback.slowest(1) < WANTED_S
