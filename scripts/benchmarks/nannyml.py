"""NannyML, asked in an environment of its own under `.pawl/peers`: it shares neither versions nor Pythons with ours.

What it says of some made-up rows is kept in `tests/unit/nannyml.json`, which the tests compare with. To write it anew:

    .pawl/peers/nannyml/bin/python scripts/benchmarks/subjects/nannyml_values.py |
        tail -1 | python -m json.tool > tests/unit/nannyml.json
"""

import json
import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts.target import ROOT
from benchmarks.environments import Environment, Unavailable, ensure

TIMEOUT_S = 900
# statsmodels it imports without saying so; with pandas 3 its regression estimator fails.
NANNYML = Environment("nannyml", ("nannyml==0.13.1", "pandas<3", "statsmodels"), ("numpy",))
RECORDED = ROOT / "tests" / "unit" / "nannyml.json"
_SUBJECTS = Path(__file__).with_name("subjects")
# Its regression estimator is trained on threads, which add up in no fixed order.
_TOLERANCE = 1e-6


class Changed(Exception):
    """NannyML says other things than the tests believe; the message names what."""


def census(home: Path, chunk: int) -> dict[str, Any]:
    """What NannyML says of its own US census data chunk by chunk, and that data; Unavailable if it cannot be had."""
    return _asked(home, "nannyml_census.py", str(chunk))


def require_recorded(home: Path) -> None:
    """Changed where what the tests compare with is not what NannyML says now; Unavailable if it cannot be had."""
    told = _asked(home, "nannyml_values.py")
    if found := differences(json.loads(RECORDED.read_text(encoding="utf-8")), told):
        raise Changed(f"{RECORDED.relative_to(ROOT)} is not what NannyML says: {', '.join(found)}")


def differences(recorded: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    """Where two of its accounts differ: estimator and metric, or its version."""
    if set(recorded) != set(told) or recorded["nannyml"] != told["nannyml"]:
        return [f"{sorted(recorded)} of {recorded['nannyml']}, now {sorted(told)} of {told['nannyml']}"]
    found = list[str]()
    for estimator in recorded.keys() - {"nannyml"}:
        ours, theirs = recorded[estimator], told[estimator]
        found += [
            f"{estimator}: {name}"
            for name in sorted({*ours, *theirs})
            if name not in ours or name not in theirs or not all(map(_is_close, ours[name], theirs[name]))
        ]
    return found


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE)


def _asked(home: Path, program: str, *arguments: str) -> dict[str, Any]:
    command = [str(ensure(NANNYML, home)), str(_SUBJECTS / program), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"NannyML took more than {TIMEOUT_S} s") from error
    if done.returncode:
        raise Unavailable(f"NannyML failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])
