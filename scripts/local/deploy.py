"""The real `sam build` and `sam deploy`, pointed at the local cloud.

The template and the artifacts are those that go to AWS; only the endpoint differs, and the address of an API in the
outputs, which is given as this machine serves it.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.cloud import REPOSITORY, LocalCloud, last_lines
from local.errors import DeployError

Show = Callable[[str], None]
_API_ADDRESS = re.compile(r"https://([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.[a-z.]+(?::\d+)?/([A-Za-z0-9_-]+)")
_ARTIFACTS = "pawl-local-artifacts"
_STEPS = re.compile(r"^Building (?:layer '(\w+)'|codeuri: .* functions: (.+))")


def build(target: str = "host", *, home: Path, project: Path = REPOSITORY, show: Show = print) -> Path:
    """Builds every function and layer of the project's template; returns the built template.

    `target` is what the project's build rules find in PAWL_BUILD_TARGET: `host` builds for this machine. Makefiles run
    in the source tree, where they find the rest of the project; SAM would give each a copy of its own folder alone.
    """
    home = home.resolve()
    source, built = project / "template.yaml", home / "build"
    words = ["build", "--build-in-source", "--template-file", str(source), "--build-dir", str(built)]
    _sam(words, project, {"PAWL_BUILD_TARGET": target, "SAM_CLI_TELEMETRY": "0"}, home / "build.log", show)
    return built / "template.yaml"


def deploy(
    cloud: LocalCloud,
    template: Path,
    stack: str = "pawl",
    parameters: Mapping[str, str] | None = None,
    show: Show = print,
) -> dict[str, str]:
    """Deploys a built template as `stack` and returns the stack's outputs."""
    cloud.client("s3").create_bucket(Bucket=_ARTIFACTS)
    words = ["deploy", "--template-file", str(template), "--stack-name", stack, "--s3-bucket", _ARTIFACTS]
    words += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    words += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    if parameters:
        words += ["--parameter-overrides", *(quoted(name, value) for name, value in parameters.items())]
    try:
        _sam(words, template.parent, cloud.environment(), cloud.home / "deploy.log", show)
    except DeployError as error:
        raise DeployError("\n".join([*_failures(cloud, stack), str(error)])) from None
    return outputs(cloud, stack)


def outputs(cloud: LocalCloud, stack: str = "pawl") -> dict[str, str]:
    """The outputs of a deployed stack."""
    described = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {entry["OutputKey"]: _local_address(cloud, entry["OutputValue"]) for entry in described.get("Outputs", [])}


def quoted(name: str, value: str) -> str:
    r"""A parameter as the SAM CLI reads it whole: unquoted it would end at the first space or quote.

    >>> print(quoted("Metrics", '{"solved": 1}'))
    Metrics="{\"solved\": 1}"
    """
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"'


def _local_address(cloud: LocalCloud, value: str) -> str:
    return _API_ADDRESS.sub(lambda match: cloud.url(match[1], match[2]), value)


def _sam(words: list[str], folder: Path, settings: Mapping[str, str], log: Path, show: Show) -> None:
    """Runs the SAM CLI, shows a line a step and keeps all that it writes in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (
        log.open("w") as kept,
        subprocess.Popen(
            [str(Path(sys.executable).parent / "sam"), *words],
            cwd=folder,
            env={**_environment(), **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or ():
            kept.write(line)
            if step := _STEPS.match(line):
                show(f"  building {step[1] or step[2].strip()}")
    if process.returncode != 0:
        raise DeployError(f"sam {words[0]} failed; {last_lines(log, 25)}")
    show(f"  sam {words[0]} took {time.monotonic() - started:.0f} s")


def _environment() -> dict[str, str]:
    """Ours, less what would point the SAM CLI to another cloud or to other code."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH"))}


def _failures(cloud: LocalCloud, stack: str) -> list[str]:
    """Which resources of a stack could not be made, and why; none when it did not come so far."""
    client: Any = cloud.client("cloudformation")
    try:
        events = client.describe_stack_events(StackName=stack)["StackEvents"]
    except client.exceptions.ClientError:
        return []
    failed = (event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED"))
    return [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}" for event in failed]
