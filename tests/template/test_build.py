"""What `sam build` calls: an artifact holds its function's own package and nothing else."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KINDS = ("*.py", "*.html")


def test_an_artifact_is_the_package_of_its_function(of_type: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    for name, function in of_type("AWS::Lambda::Function").items():
        artifacts = tmp_path / name
        artifacts.mkdir()
        done = _make(ROOT / "functions", f"build-{name}", artifacts, ROOT)
        assert done.returncode == 0, done.stderr
        package = ROOT / "functions" / function["Handler"].partition(".")[0]
        built = {path.relative_to(artifacts) for kind in KINDS for path in artifacts.rglob(kind)}
        assert [path.name for path in artifacts.iterdir()] == [package.name]
        assert built == {path.relative_to(package.parent) for kind in KINDS for path in package.rglob(kind)}


def test_a_function_without_a_package_is_an_error(tmp_path: Path) -> None:
    done = _make(ROOT / "functions", "build-NonsenseFunction", tmp_path, ROOT)
    assert done.returncode != 0
    assert "no package nonsense" in done.stderr


def test_a_scratch_copy_finds_the_project_where_sam_was_started(tmp_path: Path) -> None:
    scratch, artifacts = tmp_path / "scratch", tmp_path / "artifacts"
    scratch.mkdir()
    artifacts.mkdir()
    (scratch / "Makefile").write_text((ROOT / "layers" / "core" / "Makefile").read_text())
    assert _make(scratch, "build-CoreLayer", artifacts, ROOT).returncode == 0
    assert (artifacts / "python" / "pawl" / "__init__.py").exists()


def test_a_build_started_elsewhere_says_so(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "layers" / "core" / "Makefile").read_text())
    done = _make(tmp_path, "build-CoreLayer", tmp_path, tmp_path)
    assert done.returncode != 0
    assert "start sam in the project's folder" in done.stderr


def _make(folder: Path, goal: str, artifacts: Path, started_in: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PWD": str(started_in), "PAWL_BUILD_TARGET": "host"}
    return subprocess.run(
        ["make", "--silent", goal, f"ARTIFACTS_DIR={artifacts}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
