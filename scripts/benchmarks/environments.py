"""Virtual environments of the peers: made on first use, because none of it is a dependency of the project.

What runs the model has the project's own version everywhere, so that frameworks are compared and not releases of
onnxruntime; the rest is what pip finds, and its version is part of the result.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

INSTALL_TIMEOUT_S = 3600
_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


class Unavailable(Exception):
    """A program cannot be had or measured on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What pip installs for a peer: `packages` as they come, `shared` at the version that the project uses."""

    name: str
    packages: tuple[str, ...]
    shared: tuple[str, ...] = ()
    from_source: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """The words of `pip install`."""
        pinned = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in self.shared]
        return [*pinned, *self.packages, *(word for name in self.from_source for word in ("--no-binary", name))]

    @property
    def digest(self) -> str:
        """Changes when another environment is wanted."""
        return hashlib.sha256("\n".join([sys.version, *self.words()]).encode()).hexdigest()


def ensure(environment: Environment, home: Path) -> Path:
    """The environment's Python under `home/peers`; Unavailable with pip's last word when it cannot be made."""
    folder = home / "peers" / environment.name
    python, stamp = folder / "bin" / "python", folder / "packages.sha256"
    if python.exists() and stamp.exists() and stamp.read_text() == environment.digest:
        return python
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    _run(*pip, "install", "-qq", *environment.words())
    stamp.write_text(environment.digest)
    return python


def version(python: Path, package: str) -> str:
    """The version of a package that an environment holds."""
    return _run(str(python), "-c", _VERSION, package).strip()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"not installed within {INSTALL_TIMEOUT_S} s") from error
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Unavailable(f"not installed: {lines[-1].strip() if lines else done.returncode}")
    return done.stdout
