"""API Gateway in front of a Lambda handler, over real HTTP: what any client may be pointed at in a test.

As a REST API whose binary media types are `*/*`: every body reaches the function in base64, and a reply that says it is
base64 leaves as bytes. Bodies are inflated on the way in and, from a minimum size, deflated on the way out.
"""

import asyncio
import base64
import gzip
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
COMPRESSED_FROM = 1024
INFLATE: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
DEFLATE: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@contextmanager
def serve(handler: Handler, routes: Sequence[tuple[str, str]], context: Any, prefix: str = "/live") -> Iterator[str]:
    """Serves `routes`, verbs and paths as in a template; gives `host:port/live`, to be put behind `http://`."""
    table = [(verb, path, _pattern(prefix + path)) for verb, path in routes]
    loop = asyncio.new_event_loop()
    # One thread, as an environment of Lambda takes one request at a time; with a loop, as Lambda's main thread has.
    with ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(loop,)) as pool:
        about = {"routes": table, "invoke": lambda _, event: pool.submit(handler, event, context).result()}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Gateway", (_Gateway,), about))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    loop.close()


def routes_of_template(function: str) -> list[tuple[str, str]]:
    """The verbs and paths that the template gives a function."""
    events = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Resources"][function]["Properties"]["Events"]
    about = [event["Properties"] for event in events.values() if event["Type"] == "Api"]
    return [(each["Method"], each["Path"]) for each in about]


def event_of(
    verb: str, resource: str, path: str, query: str, headers: Mapping[str, str], parameters: Any, body: bytes
) -> dict[str, Any]:
    """The event of one request: payload format 1.0, as a REST API's proxy integration gives it."""
    values = parse_qs(query, keep_blank_values=True)
    return {
        "resource": resource,
        "path": path,
        "httpMethod": verb,
        "headers": dict(headers),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: each[-1] for name, each in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": verb,
            "path": f"/live{path}",
            "stage": "live",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "127.0.0.1", "apiKeyId": "ak7x2m9q1z"},
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


class _Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes: Sequence[tuple[str, str, re.Pattern[str]]]
    invoke: Callable[[dict[str, Any]], dict[str, Any]]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        coding = self.headers.get("Content-Encoding", "identity")
        if coding not in ("identity", *INFLATE):
            return self._refuse(415, "Unsupported Media Type")
        where = urlsplit(self.path)
        found = [
            (path, match)
            for verb, path, each in self.routes
            if verb == self.command and (match := each.fullmatch(where.path))
        ]
        if not found:
            return self._refuse(403, "Missing Authentication Token")
        resource, match = min(found, key=lambda each: each[0].count("{"))  # a written path goes before a parameter
        parameters = {name: unquote(value) for name, value in match.groupdict().items()}
        headers = {name: value for name, value in self.headers.items() if name != "Content-Encoding"}
        event = event_of(
            self.command,
            resource,
            resource.format(**parameters),
            where.query,
            headers,
            parameters,
            INFLATE[coding](body) if coding in INFLATE else body,
        )
        self._send(self.invoke(event))

    def _send(self, reply: Mapping[str, Any]) -> None:
        raw = base64.b64decode(reply["body"]) if reply.get("isBase64Encoded") else reply["body"].encode()
        headers = {"Content-Type": "application/json", **(reply.get("headers") or {})}
        headers |= {name: values[-1] for name, values in (reply.get("multiValueHeaders") or {}).items()}
        headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        accepted = re.split(r"[,;\s]+", self.headers.get("Accept-Encoding", ""))
        coding = next((each for each in DEFLATE if each in accepted), None)
        if coding and len(raw) >= COMPRESSED_FROM:
            raw, headers["Content-Encoding"] = DEFLATE[coding](raw), coding
        self.send_response(reply["statusCode"])
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _refuse(self, status: int, message: str) -> None:
        self._send({"statusCode": status, "body": json.dumps({"error": message})})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
