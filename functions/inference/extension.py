"""Lets captured records leave between a reply and the freezing of its environment, as an internal Lambda extension.

Lambda freezes an environment once its runtime and every extension have asked for what comes next, so the extension asks
only when everything is sent. That a reply has left is known exactly: the runtime holds the object that the handler
returned until it has posted it, and the object says so when it is let go. A runtime that keeps it longer is waited for
no more than two naps. Garbage is looked for from then until the next event, never while a reply is on its way.

Where the Extensions API fails, nothing holds off the freezing: each reply then waits until its records have been sent,
and the metric `CaptureExtensionFailed` counts one. An internal extension cannot register for SHUTDOWN; Lambda sends
SIGTERM to the runtime instead and gives it 500 ms (Lambda developer guide, execution environment lifecycle).
"""

import gc
import signal
import threading
from _socket import AF_INET, SOCK_STREAM  # `socket` takes 4 ms and `http.client` 20 to import, on the cold path
from _socket import socket as Socket
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from inference.capture import Capture

FAILED = "CaptureExtensionFailed"

_REGISTER = "/2020-01-01/extension/register"
_NEXT = "/2020-01-01/extension/event/next"
_NAME = "pawl-capture"
_NAP_S = 0.1
_SENDING_S = 60.0
_BEFORE_FREEZE_S = 5.0
_SHUTDOWN_S = 0.4

Handler = Callable[[dict[str, Any], Any], Mapping[str, Any]]


def follow(handler: Handler, capture: Capture, runtime_api: str | None) -> Handler:
    """The handler, with its captured records leaving after each reply; to be called while the function initializes.

    `runtime_api` is the environment variable AWS_LAMBDA_RUNTIME_API. Without it there is no freezing either, and the
    records leave as soon as a reply is let go.
    """
    invocations = _Invocations(capture)
    capture.wait_for_reply()
    if runtime_api is not None:
        if threading.current_thread() is threading.main_thread():
            _close_on_sigterm(capture)
        invocations.hold(runtime_api)

    class Reply(dict[str, Any]):
        __slots__ = ()

        def __del__(self) -> None:
            invocations.let_go()

    def followed(event: dict[str, Any], context: Any) -> Mapping[str, Any]:
        gc.disable()  # looking for garbage can wait until the reply has left
        try:
            return Reply(handler(event, context))
        except BaseException:
            invocations.fail()
            raise
        finally:
            invocations.has_ended = True
            if invocations.freezes_at_once:
                capture.flush(_BEFORE_FREEZE_S)

    return followed


class Extension:
    """An internal extension that is told of invocations; it speaks HTTP to the environment's own API.

    Registering does not wait for the answer: the request is there before the runtime's first, and that is what counts.
    """

    def __init__(self, runtime_api: str) -> None:
        host, _, port = runtime_api.partition(":")
        self._address = (host, int(port))
        self._host = runtime_api
        self._identity = ""
        self._registration = self._ask(f"POST {_REGISTER}", f"Lambda-Extension-Name: {_NAME}", '{"events":["INVOKE"]}')

    def confirm(self) -> None:
        """Take the answer to the registration."""
        headers, _ = _answer(self._registration)
        if "lambda-extension-identifier" not in headers:
            raise ConnectionError("Lambda Extensions API: want the header Lambda-Extension-Identifier")
        self._identity = f"Lambda-Extension-Identifier: {headers['lambda-extension-identifier']}"

    def next_event(self) -> bytes:
        """Wait for the next event, JSON; asking says that this extension has nothing left to do."""
        return _answer(self._ask(f"GET {_NEXT}", self._identity, ""))[1]

    def _ask(self, line: str, header: str, body: str) -> Socket:
        head = (f"{line} HTTP/1.1", f"Host: {self._host}", header, f"Content-Length: {len(body)}", "Connection: close")
        connection = Socket(AF_INET, SOCK_STREAM)
        try:
            connection.connect(self._address)
            connection.sendall("\r\n".join((*head, "", body)).encode())
        except OSError:
            connection.close()
            raise
        return connection


class _Invocations:
    """What becomes of an environment's invocations: for Lambda each ends only when its records are sent."""

    def __init__(self, capture: Capture) -> None:
        self.has_ended = False
        self.freezes_at_once = False
        self._has_answered = False
        self._capture = capture
        self._left: SimpleQueue[None] = SimpleQueue()
        self._is_held = False

    def hold(self, runtime_api: str) -> None:
        """Register the extension that holds off the freezing, if it can be had."""
        self._is_held = True
        try:
            extension = Extension(runtime_api)
        except OSError as error:
            self._give_up(error)
        else:
            threading.Thread(target=self._run, args=(extension,), name="extension", daemon=True).start()

    def let_go(self) -> None:
        """A reply has left: now is the time for what would have kept it waiting."""
        if not self._has_answered:
            self._has_answered = True
            gc.freeze()  # what was imported and opened stays
        gc.enable()
        if self._is_held:
            self._left.put(None)
        else:
            self._capture.wake()

    def fail(self) -> None:
        """There is no reply to be let go; an extension sees that the handler has ended after a nap or two."""
        gc.enable()
        if not self._is_held:
            self._capture.wake()

    def _run(self, extension: "Extension") -> None:
        """Ask for one invocation after another, each time when nothing is left to send."""
        try:
            extension.confirm()
            while b'"SHUTDOWN"' not in extension.next_event():
                self._wait_for_reply()
                self._capture.flush(_SENDING_S)
                self.has_ended = False
            self._capture.close(_SHUTDOWN_S)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._is_held, self.freezes_at_once = False, True
        self._capture.report(FAILED, 1, type(error).__name__)
        self._capture.wake()

    def _wait_for_reply(self) -> None:
        while True:
            had_ended = self.has_ended
            try:
                self._left.get(timeout=_NAP_S)
            except Empty:
                if had_ended:
                    return
            else:
                if self.has_ended:
                    return


def _answer(connection: Socket) -> tuple[dict[str, str], bytes]:
    """The headers, in small letters, and the body of the answer on a connection, which is closed."""
    try:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _receive(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        if status.split(" ")[1:2] != ["200"]:
            raise ConnectionError(f"Lambda Extensions API answered {status!r}, want 200")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += _receive(connection)
        return headers, body
    finally:
        connection.close()


def _receive(connection: Socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("Lambda Extensions API closed the connection before its answer was whole")
    return data


def _close_on_sigterm(capture: Capture) -> None:
    """Deliver what is left when Lambda ends the environment, then do what would have been done without us."""

    def close(number: int, frame: FrameType | None) -> None:
        capture.close(_SHUTDOWN_S)
        if callable(before):
            before(number, frame)
        elif before is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = signal.signal(signal.SIGTERM, close)
