"""S3's side of presigned POSTs, over real HTTP: a policy is held to, files are kept, and it fails as it is told to.

Of a signature it knows that there is one; what a policy allows, and until when, it reads as S3 does.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOST = 0
"""A failure of the network after the file has arrived: the answer gets lost."""


class Posts:
    """A bucket that browsers may post to; `failing` are the statuses of the next requests, or LOST."""

    def __init__(self, port: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.posted: list[str] = []
        self.failing: list[int] = []
        self.origins: set[str | None] = set()
        self.port = port
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        """Where it is, up or not."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Come up, again at the same port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Bucket", (_Bucket,), {"posts": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Go away: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, fields: dict[str, str], data: bytes) -> int:
        """What S3 answers to a form; 204 once the file is kept."""
        policy = json.loads(base64.b64decode(fields["policy"]))
        if datetime.fromisoformat(policy["expiration"]) < datetime.now(UTC) or "x-amz-signature" not in fields:
            return 403
        for condition in policy["conditions"]:
            match condition:
                case ["starts-with", name, prefix] if not fields[name.removeprefix("$")].startswith(prefix):
                    return 403
                case ["content-length-range", least, most] if not least <= len(data) <= most:
                    return 400
                case _:
                    pass
        self.files[fields["key"]] = data
        return 204


@contextmanager
def posts() -> Iterator[Posts]:
    """A bucket that is up, and gone in the end."""
    made = Posts()
    made.start()
    try:
        yield made
    finally:
        made.stop()


class _Bucket(BaseHTTPRequestHandler):
    posts: Posts

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts: list[Any] = BytesParser(policy=HTTP).parsebytes(head + body).get_payload()  # type: ignore[assignment]
        fields = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
        data = fields.pop("file")
        told = {name: value.decode() for name, value in fields.items()}
        self.posts.posted.append(told["key"])
        self.posts.origins.add(self.headers["Origin"])
        failure = self.posts.failing.pop(0) if self.posts.failing else None
        if failure:
            return self._answer(failure, b"<Error><Code>Told</Code><Message>told to fail</Message></Error>")
        status = self.posts.take(told, data)
        if failure == LOST:
            self.close_connection = True
            return None
        self._answer(status, b"" if status == 204 else b"<Error><Message>Policy expired</Message></Error>")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
