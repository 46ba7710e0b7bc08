"""What `scripts/build` puts into layers: for which target, and within which size."""

import sys
from pathlib import Path

import pytest

from artifacts import layers
from artifacts.target import BuildError, Target, read_target

HOST = Target("host", "host")


def test_the_target_is_what_the_template_deploys_unless_the_environment_says_otherwise() -> None:
    assert read_target({}) == Target("python3.13", "x86_64")
    assert read_target({"PAWL_RUNTIME": "python3.12", "PAWL_ARCHITECTURE": "arm64"}) == Target("python3.12", "arm64")
    assert read_target({"PAWL_BUILD_TARGET": "host", "PAWL_RUNTIME": "python3.12"}) == HOST


@pytest.mark.parametrize("environment", [{"PAWL_BUILD_TARGET": "laptop"}, {"PAWL_ARCHITECTURE": "riscv"}])
def test_an_impossible_target_is_refused_with_what_would_be_right(environment: dict[str, str]) -> None:
    with pytest.raises(BuildError, match=next(iter(environment.values()))):
        read_target(environment)


def test_wheels_are_resolved_for_lambda_and_not_for_this_machine() -> None:
    options = Target("python3.13", "arm64").pip_options()
    assert options[:2] == ["--python-version", "3.13"]
    assert "--platform=manylinux_2_28_aarch64" in options
    assert HOST.pip_options() == []


def test_a_runtime_that_is_not_on_this_machine_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BuildError, match=r"python3\.99 is not on this machine: install it"):
        Target("python3.99", "x86_64").interpreter()
    assert HOST.interpreter() == sys.executable


def test_a_finished_part_holds_byte_code_that_never_asks_for_its_source_again(tmp_path: Path) -> None:
    source = tmp_path / "python" / "module.py"
    source.parent.mkdir()
    source.write_text("answer = 42\n")
    layers.finish("core", HOST, tmp_path)
    (compiled,) = source.parent.glob("__pycache__/*.pyc")
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01  # hash-based and unchecked (PEP 552)


def test_a_part_over_its_budget_fails_with_a_table_of_what_is_largest(tmp_path: Path) -> None:
    (tmp_path / "python" / "small").mkdir(parents=True)
    (tmp_path / "python" / "large").mkdir()
    (tmp_path / "python" / "small" / "data").write_bytes(bytes(300_000))
    (tmp_path / "python" / "large" / "data").write_bytes(bytes(2_500_000))
    with pytest.raises(BuildError) as failure:
        layers.finish("core", HOST, tmp_path)
    assert str(failure.value).splitlines() == [
        "core: 2.8 MB unzipped, budget 2 MB (Lambda allows 262 MB for a function and its layers)",
        "     2.5 MB  large",
        "     0.3 MB  small",
    ]


@pytest.mark.parametrize("last", ["models", "tables"])
def test_the_budgets_of_what_a_function_has_are_within_what_lambda_allows(last: str) -> None:
    assert sum(layers.BUDGET_MB[part] for part in ("function", "core", "serving", last)) <= layers.LIMIT_MB
    assert layers.LIMIT_MB * 10**6 <= 250 * 2**20


def test_a_starter_model_is_made_anew_when_anything_changes_that_its_recipe_imports() -> None:
    classifier, generator = layers.modules_of("transfer"), layers.modules_of("generator")
    assert {"transfer", "examples", "compression", "quantize", "int8", "blocks", "prune", "classifier"} <= classifier
    assert {"generator", "checkpoint", "blocks"} <= generator
    assert not {"transfer", "prune"} & generator and "checkpoint" not in classifier
