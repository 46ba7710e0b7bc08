"""The floor: a server that computes nothing and answers one fixed reply. `python floor.py PORT`.

What a request costs here is the load generator, the loopback and an event loop: no server can be below it.
"""

import asyncio
import json
import sys
from typing import Any

from protocol import reply


class Canned:
    """Stands in for probabilities of ten labels."""

    shape = (1, 10)

    def reshape(self, _: int) -> "Canned":
        """Flat already."""
        return self

    def tolist(self) -> list[float]:
        """Ten numbers."""
        return [0.1000001] * 10


_BODY = json.dumps(reply(["refund"], Canned())).encode()
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Floor(asyncio.Protocol):
    """Answers whatever arrives: a request of the load generator is one small segment."""

    def connection_made(self, transport: Any) -> None:
        """Keep the connection's writing end."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer at once."""
        self._transport.write(_REPLY)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
