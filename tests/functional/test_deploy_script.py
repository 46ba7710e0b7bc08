"""`scripts/deploy` run with a SAM CLI that only tells what it was given."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType

SCRIPTS = Path(__file__).parents[2] / "scripts"
TELL = '#!/bin/sh\n[ "$1" != build ] || { echo "$AWS_DEFAULT_REGION"; printf "%s\\n" "$@"; } >> "$TOLD"\n'
PASSED = "Metrics", "CheckSchedule", "PhoneRegions"
METRICS = '{"solved": {"type": "boolean", "optimize": "max"}}'


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs the script in a project of stubs; the region that SAM sees, and its words."""
    for name, content in (("scripts/setup", "#!/bin/sh\n"), ("scripts/pawl", "#!/bin/sh\n"), (".venv/bin/sam", TELL)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    shutil.copy(SCRIPTS / "deploy", tmp_path / "scripts/deploy")

    def run(*words: str, **settings: str) -> list[str]:
        told = tmp_path / "told"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**kept, "AWS_DEFAULT_REGION": "", "TOLD": str(told), **settings}
        subprocess.run([tmp_path / "scripts/deploy", *words], env=environment, check=True)
        return told.read_text().splitlines()

    return run


def test_parameters_arrive_whole_whatever_they_hold(deploy: Any) -> None:
    given = dict(zip(PASSED, (METRICS, "rate(2 hours)", ""), strict=True))

    words = deploy("--stack", "two", *(f"{name}={value}" for name, value in given.items()))

    read = CfnParameterOverridesType().convert(tuple(words[words.index("--parameter-overrides") + 1 :]), None, None)
    assert {name: read[name] for name in PASSED} == given
    assert read["TrustedKeys"] == "/pawl/two/trusted-keys"


def test_the_region_is_the_one_that_was_exported(deploy: Any) -> None:
    assert deploy(AWS_REGION="eu-west-1")[0] == "eu-west-1"
