"""Which Python and which processor an artifact is for: Lambda's, as the template says, or this machine's own.

Environment: PAWL_BUILD_TARGET is `lambda` (default) or `host`; PAWL_RUNTIME and PAWL_ARCHITECTURE override the defaults
of the template's parameters, as `scripts/deploy` sets them together with the parameters themselves.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_GLIBC = (34, 31, 28, 27, 17)
_WHEEL_ARCHITECTURE = {"x86_64": "x86_64", "arm64": "aarch64"}


class BuildError(Exception):
    """The build cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """`host`, or a Lambda runtime and architecture."""

    runtime: str
    architecture: str

    @property
    def is_host(self) -> bool:
        """Whether the artifact is for this machine's own interpreter."""
        return self.runtime == "host"

    def pip_options(self) -> list[str]:
        """What makes pip resolve wheels for the target rather than for this machine."""
        if self.is_host:
            return []
        version, wheel = self.runtime.removeprefix("python"), _WHEEL_ARCHITECTURE[self.architecture]
        platforms = [f"--platform=manylinux_2_{minor}_{wheel}" for minor in _GLIBC] + [
            f"--platform=manylinux2014_{wheel}"
        ]
        return ["--python-version", version, "--implementation", "cp", *platforms]

    def interpreter(self) -> str:
        """An interpreter whose byte code the target runs."""
        if self.is_host or self.runtime == f"python{sys.version_info.major}.{sys.version_info.minor}":
            return sys.executable
        for candidate in [shutil.which(self.runtime), *_pyenv_interpreters(self.runtime)]:
            if candidate and _is_version(candidate, self.runtime):
                return candidate
        raise BuildError(
            f"{self.runtime} is not on this machine: install it (layers are byte-compiled for Lambda's "
            "runtime) or deploy with --runtime of a Python that is"
        )


def read_target(environment: Mapping[str, str]) -> Target:
    """The target that the environment asks for; BuildError when it is none."""
    kind = environment.get("PAWL_BUILD_TARGET", "lambda")
    if kind == "host":
        return Target("host", "host")
    if kind != "lambda":
        raise BuildError(f"PAWL_BUILD_TARGET={kind!r}: want lambda or host")
    runtime = environment.get("PAWL_RUNTIME") or _template_default("PythonRuntime")
    architecture = environment.get("PAWL_ARCHITECTURE") or _template_default("Architecture")
    if architecture not in _WHEEL_ARCHITECTURE:
        raise BuildError(f"PAWL_ARCHITECTURE={architecture!r}: want one of {sorted(_WHEEL_ARCHITECTURE)}")
    return Target(runtime, architecture)


def code_revision() -> str:
    """The commit that is checked out, with `+changes` when the tree differs from it; `unknown` outside git."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _template_default(parameter: str) -> str:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  {parameter}:\n(?:    .*\n)*?    Default: (\S+)$", text, re.MULTILINE)
    if not found:
        raise BuildError(f"template.yaml: parameter {parameter} has no default")
    return found.group(1).strip("'\"")


def _pyenv_interpreters(runtime: str) -> list[str]:
    versions = Path.home() / ".pyenv" / "versions"
    return [str(path) for path in sorted(versions.glob(f"{runtime.removeprefix('python')}*/bin/{runtime}"))]


def _is_version(interpreter: str, runtime: str) -> bool:
    command = [interpreter, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() == runtime
