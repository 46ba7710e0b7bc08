"""The local cloud's own process: MiniStack with what this project adds, until the pipe from its parent closes.

It keeps nothing, so there is nothing to save at the end: it kills what it started, removes its temporary files and is
gone. The part of MiniStack's own start that is left out writes a process file and looks for Docker.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from local import batch, delivery, gateway, interpreter, invocation, properties, resources, routing, unpacking
from local.cloud import HOST
from local.processes import end_session


def main(home: Path, port: int, python: Path, seed: int | None) -> None:
    from ministack.app import app

    interpreter.apply(python)
    unpacking.apply()
    invocation.apply()
    routing.apply(random.Random(seed))
    delivery.apply()
    gateway.apply()
    batch.apply(home, f"http://{HOST}:{port}")
    resources.apply()
    properties.apply()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(app, port))


async def _serve(app: object, port: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{HOST}:{port}"]
    config.keep_alive_timeout = 75
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _end)
    await serve(app, config, shutdown_trigger=asyncio.Event().wait)  # type: ignore[arg-type]


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    _end()


def _end() -> NoReturn:
    end_session(os.getsid(0), spare=os.getpid())
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else None)
