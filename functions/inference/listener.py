"""Uvicorn as the container server wants it: signals left alone, and no patience with a head that does not come.

Uvicorn limits how long a connection may rest between requests, but not how long it may take to send the first line. And
asyncio sends small pieces at once only on sockets that say they are TCP, which those of `socket.create_server` do not:
each answer would wait 40 ms for the client's acknowledgement of its head.
"""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pawl.errors import SettingsError

_HEAD_BYTES = 16_384
_REST_S = 75  # longer than balancers keep a connection, so that it is they who close it


def open_socket(address: str, port: int) -> socket.socket:
    """A bound socket; asyncio listens on it, and turns Nagle's algorithm off for each of its connections.

    SettingsError when the port is taken, or the address none of this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise SettingsError(f"cannot listen at {address} port {port}: {error.strerror}") from error
    return opened


def http_server(application: Any, drain_s: int, patience_s: float) -> uvicorn.Server:
    """A server whose clients have `patience_s` to send a head, and `drain_s` to be answered once it is to end."""

    class Protocol(_Protocol):
        head_s = patience_s

    return _Uvicorn(
        uvicorn.Config(
            application,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_REST_S,
            timeout_graceful_shutdown=drain_s,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
    )


class _Uvicorn(uvicorn.Server):
    """Leaves signals to this module: uvicorn would stop listening at the first one."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Protocol(H11Protocol):
    """Uvicorn's protocol with a limit for how long the head of a request may take."""

    head_s: float
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.head_s, self.transport.close)

    def _stop_watching(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None
