"""What each layer holds, pruned, byte-compiled and measured.

A layer is read-only, so Python cannot keep the byte code it makes there: a layer without `.pyc` files compiles at every
cold start. They are written with unchecked hashes, which survive the zip's timestamps.
"""

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

from artifacts.signing import local_key, sign_folder
from artifacts.target import ROOT, BuildError, Target, code_revision

CACHE = ROOT / ".pawl" / "layers"
STARTER = ROOT / ".pawl" / "starter"
TRAINING = ROOT / "functions" / "training"
# The recipe of each starter model: when a module changes, only the models whose recipes import it are made anew.
STARTER_RECIPES = {"triage": "transfer", "assistant": "generator", "embed": "embedder"}
_EVERY_STARTER = ("__main__", "starter", "storage")
STARTER_SOURCES = ("constraints.txt", "functions/training/data/*")
# Unzipped megabytes each part may take. What inference has of them is together Lambda's limit for a function and all
# its layers: its 250 MB are MiB, 262,144,000 bytes. Functions that open datasets have tables in place of models.
LIMIT_MB = 262
BUDGET_MB = {"function": 2, "core": 2, "serving": 125, "models": 133, "tables": 72}
# Found by importing and serving without them: onnxruntime's Python module links no libonnxruntime.so, and neither
# training tools, type stubs, tests nor command-line scripts are needed to serve.
PRUNED = (
    "bin",
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "numpy/f2py",
    "numpy/**/tests",
    "numpy/_core/lib",
    "numpy/_core/include",
    "numpy/_core/_simd.*",
    "numpy/_core/*_tests.*",
    "numpy/distutils",
    "numpy/testing",
    "aws_lambda_powertools/event_handler",
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in ("auth_alpha", "circuit_breaker", "feature_flags", "idempotency", "kafka", "parser")
    ),
    "pydantic/v1",
    "pydantic/mypy.py",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.h",
    "**/__pycache__",
    "*.dist-info/RECORD",
    "*.dist-info/licenses/THIRD*",
    "*.dist-info/sboms",
    "_duckdb-stubs",
    "adbc_driver_duckdb",
    "duckdb/experimental",
)
# Their metadata asks for packages (hub clients, protobuf, sympy) that nothing here imports.
WITHOUT_DEPENDENCIES = {"onnxruntime", "tokenizers"}


def build_core(target: Target, folder: Path) -> None:
    """`pawl` itself."""
    shutil.copytree(
        ROOT / "layers" / "core" / "pawl", folder / "python" / "pawl", ignore=shutil.ignore_patterns("__pycache__")
    )
    finish("core", target, folder)


def build_serving(target: Target, folder: Path) -> None:
    """What serving takes of third-party packages."""
    _build_packages("serving", target, folder)


def build_tables(target: Target, folder: Path) -> None:
    """What reading and writing datasets takes of them: one library, built for any Python from 3.12 on."""
    _build_packages("tables", target, folder)


def _build_packages(part: str, target: Target, folder: Path) -> None:
    """The packages of the extra called `part`; resolved once for every change of requirements, then copied."""
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][part]
    constraints = (ROOT / "constraints.txt").read_text()
    key = _digest(
        [target.runtime, target.architecture, *requirements, constraints, *PRUNED, Path(__file__).read_text()]
    )
    cached = CACHE / f"{part}-{target.runtime}-{target.architecture}-{key}"
    if not cached.exists():
        partial = cached.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _install(part, target, partial / "python", requirements)
        _prune(partial / "python")
        finish(part, target, partial)
        _keep_only(cached, partial)
    shutil.copytree(cached, folder, dirs_exist_ok=True, copy_function=_link_or_copy)


def build_models(target: Target, folder: Path) -> None:
    """The starter models, made now unless nothing that makes them has changed."""
    shutil.copytree(starter() / "models", folder / "python" / "pawl_models", copy_function=_link_or_copy)
    _check_size("models", folder)


def starter() -> Path:
    """The folder of the starter models, signed, and their datasets; each is made anew when its sources have changed."""
    made, key = [_starter_part(name) for name in STARTER_RECIPES], local_key()
    whole = STARTER / f"all-{_digest([*(part.name for part in made), key.trusted])}"
    if not whole.exists():
        partial = whole.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for part in made:
            shutil.copytree(part, partial, dirs_exist_ok=True, copy_function=_link_or_copy)
        for folder in (partial / "models").glob("*/*"):
            sign_folder(folder, key)
        _keep_only(whole, partial)
    return whole


def _starter_part(name: str) -> Path:
    """The folder with one starter model, made by its recipe unless it is there."""
    key = _digest(path.read_bytes() for path in _sources(name))
    built = STARTER / f"{name}-{key}"
    if not built.exists():
        partial = built.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        path = f"{ROOT / 'functions'}:{ROOT / 'layers' / 'core'}"
        environment = {**os.environ, "PYTHONPATH": path, "PAWL_CODE_REVISION": code_revision()}
        command = [sys.executable, "-m", "training", "starter", "--only", name, "--output", str(partial)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        _keep_only(built, partial)
    return built


def _sources(name: str) -> list[Path]:
    """Every file that a starter model is made of."""
    modules = sorted({*_EVERY_STARTER, *modules_of(STARTER_RECIPES[name])})
    patterns = [*(f"functions/training/{module}.py" for module in modules), "layers/core/pawl/*.py"]
    return [path for pattern in (*STARTER_SOURCES, *patterns) for path in sorted(ROOT.glob(pattern))]


def modules_of(recipe: str) -> set[str]:
    """A recipe's module of `training` and all that it imports from there, directly or through others."""
    found, left = set[str](), [recipe]
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            tree = ast.parse((TRAINING / f"{module}.py").read_text(encoding="utf-8"))
            left += [name for node in ast.walk(tree) for name in _imported(node)]
    return found


def _imported(node: ast.AST) -> list[str]:
    """The modules of `training` that a statement imports."""
    if not isinstance(node, ast.ImportFrom) or not node.module:
        return []
    if node.module == "training":
        return [alias.name for alias in node.names]
    return [node.module.removeprefix("training.")] if node.module.startswith("training.") else []


def finish(part: str, target: Target, folder: Path) -> None:
    """Byte-compile a finished part and hold it against its budget."""
    command = [
        target.interpreter(),
        "-m",
        "compileall",
        "-q",
        "-j",
        "0",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(folder),
        "-p",
        "/var/task" if part == "function" else "/opt",
        str(folder),
    ]
    if subprocess.run(command, check=False).returncode:
        raise BuildError(f"{part}: byte-compiling failed with {command[0]}")
    _check_size(part, folder)


def _install(part: str, target: Target, folder: Path, requirements: list[str]) -> None:
    bare = [name for name in requirements if name in WITHOUT_DEPENDENCIES]
    whole = [name for name in requirements if name not in WITHOUT_DEPENDENCIES]
    for names, options in ((whole, []), (bare, ["--no-deps"])):
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-qq",
            "--no-compile",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            "--target",
            str(folder),
            "-c",
            str(ROOT / "constraints.txt"),
            *target.pip_options(),
            *options,
            *names,
        ]
        if names and subprocess.run(command, check=False).returncode:
            raise BuildError(f"{part}: pip could not resolve {', '.join(names)} for {target.runtime}")


def _prune(folder: Path) -> None:
    for pattern in PRUNED:
        for path in sorted(folder.glob(pattern), reverse=True):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()


def _check_size(part: str, folder: Path) -> None:
    """Fail with a table of the largest entries when a part is over its budget."""
    size = _megabytes(folder)
    if size <= BUDGET_MB[part]:
        return
    packages = sorted((folder / "python").glob("*"), key=_megabytes, reverse=True)[:12]
    table = "\n".join(f"{_megabytes(path):8.1f} MB  {path.name}" for path in packages)
    raise BuildError(
        f"{part}: {size:.1f} MB unzipped, budget {BUDGET_MB[part]} MB "
        f"(Lambda allows {LIMIT_MB} MB for a function and its layers)\n{table}"
    )


def _keep_only(built: Path, partial: Path) -> None:
    """Put what was just built in its place, and remove what an earlier state of the project had built there."""
    for outdated in built.parent.glob(built.name.rpartition("-")[0] + "*"):
        if outdated != partial:
            shutil.rmtree(outdated)
    partial.rename(built)


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files) / 1e6


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _link_or_copy(source: str, destination: str) -> None:
    """A hard link where the file system allows one: a layer is read, never changed."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)


BUILDERS: dict[str, Callable[[Target, Path], None]] = {
    "core": build_core,
    "serving": build_serving,
    "models": build_models,
    "tables": build_tables,
}
