"""The Python that functions run on: the standard library, boto3, and nothing else.

On Lambda a function finds boto3 without bringing it, and everything else it must bring in its package or a layer. The
development environment has it all, so a function run there would pass with a dependency missing from its layer.
"""

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from local.adaptation import replace
from local.errors import InterpreterError

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
RUNTIME_PACKAGES = ("boto3",)


def ensure_interpreter(home: Path) -> Path:
    """The functions' interpreter under `home/lambda`, made on the first call and whenever its packages change."""
    folder = home / "lambda"
    python = folder / "bin" / "python"
    stamp = folder / "packages.sha256"
    wanted = _requirements()
    constraints = CONSTRAINTS.read_text() if CONSTRAINTS.exists() else ""
    digest = hashlib.sha256("\n".join([sys.version, *wanted, constraints]).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", *wanted)
    stamp.write_text(digest)
    return python


def apply(python: Path) -> None:
    """Makes MiniStack run Python functions on `python`, by our worker."""
    from ministack.core import lambda_runtime

    worker = (Path(__file__).parent / "worker.py").read_text()
    detect = lambda_runtime._detect_runtime_binary

    def detect_runtime(runtime: str) -> tuple[str, str]:
        return (str(python), worker) if runtime.startswith("python") else detect(runtime)

    replace(lambda_runtime, "_detect_runtime_binary", detect_runtime)


def _requirements() -> list[str]:
    """As constrained by the project, or else the versions that the tests of this machine run with."""
    if CONSTRAINTS.exists():
        return [*RUNTIME_PACKAGES, "--constraint", str(CONSTRAINTS)]
    return [f"{package}=={version(package)}" for package in RUNTIME_PACKAGES]


def _run(*command: str) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True)
    if outcome.returncode != 0:
        raise InterpreterError(f"{' '.join(command)} failed:\n{outcome.stdout}{outcome.stderr}")
