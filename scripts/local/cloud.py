"""Starting and stopping the local cloud.

The server is a child process in a session of its own. It holds a pipe from us as its standard input and ends itself,
with all it started, when that pipe closes: so nothing outlives us, even if we are killed.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from local.errors import LocalCloudError
from local.interpreter import ensure_interpreter
from local.processes import end_session

SCRIPTS = Path(__file__).resolve().parents[1]
REPOSITORY = SCRIPTS.parent
HOST = "127.0.0.1"
REGION = "us-east-1"
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_KEPT = ("PATH", "LANG", "LC_ALL")


class LocalCloud:
    """AWS on this machine. Everything it writes lies under `home`; it forgets everything when it stops.

    With a `seed`, an alias shares its traffic out in the same sequence every time.

    >>> with LocalCloud(Path(".pawl")) as cloud:   # doctest: +SKIP
    ...     cloud.client("s3").list_buckets()
    """

    def __init__(self, home: Path, port: int = 4566, seed: int | None = None) -> None:
        self.home = home.resolve()
        self.port = port
        self._seed = seed
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / f"cloud-{self.port}.log"

    @property
    def scratch(self) -> Path:
        """Its temporary files; by port, so that two clouds of one home leave each other alone."""
        return self.home / f"tmp-{self.port}"

    @property
    def server_pid(self) -> int | None:
        """The process, and the session, of the server; None when it does not run."""
        return self._server.pid if self._server else None

    def start(self, timeout_s: float = 60.0) -> None:
        """Starts the server and returns when it answers."""
        if not _is_free(self.port):
            raise LocalCloudError(f"port {self.port} is taken: free it or choose another, PAWL_PORT={free_port()}")
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                self._command(ensure_interpreter(self.home)),
                cwd=SCRIPTS,
                env=self._server_environment(self.scratch),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server, its functions and its jobs, and removes their temporary files."""
        server, self._server = self._server, None
        if server is None:
            return
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
        leftover = end_session(server.pid)
        server.wait()
        _close(server.stdin)
        shutil.rmtree(self.scratch, ignore_errors=True)
        if leftover:
            raise LocalCloudError(f"processes {leftover} of the local cloud cannot be ended")

    def environment(self) -> dict[str, str]:
        """What a process needs to see this cloud as AWS, and no other: put it over a copy of the environment."""
        return {
            **_CREDENTIALS,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{HOST},localhost",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",  # it waits five seconds between two looks, for AWS's sake
        }

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud, whatever the environment says."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}, retries={"max_attempts": 1}),
        )

    def url(self, api_id: str, stage: str) -> str:
        """Where this cloud serves a stage of a REST API."""
        return f"{self.endpoint}/_aws/execute-api/{api_id}/{stage}"

    def __enter__(self) -> LocalCloud:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _command(self, interpreter: Path) -> list[str]:
        seed = [] if self._seed is None else [str(self._seed)]
        return [sys.executable, "-m", "local.server", str(self.home), str(self.port), str(interpreter), *seed]

    def _server_environment(self, scratch: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {
            **kept,
            **self.environment(),
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
        }

    def _wait_until_healthy(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._is_healthy():
            if self._server is not None and self._server.poll() is not None:
                raise LocalCloudError(f"the local cloud ended at its start: {last_lines(self.log)}")
            if time.monotonic() > deadline:
                raise LocalCloudError(f"the local cloud gave no answer in {timeout_s:.0f} s: {last_lines(self.log)}")
            time.sleep(0.1)

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, for a message."""
    if not log.exists():
        return f"no {log}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([f"the last lines of {log}:", *(f"  {line}" for line in lines[-count:])])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()
