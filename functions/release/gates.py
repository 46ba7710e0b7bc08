"""What a candidate must prove: the gates that every kind of model has, then those of its own kind.

Each gate yields what was measured, what would pass, and a verdict. A kind's module is imported when it is judged, and
has one function, `judge(case) -> list[Gate]`.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from pawl.errors import InvalidDataset, NotFound, SettingsError
from release.gate import Case, Contender, Gate
from release.origin import licence_gate, signature_gate, size_gate
from release.policy import GatePolicy, read_policy

__all__ = ["Case", "Contender", "Gate", "GatePolicy", "judge_candidate"]

JUDGES: Mapping[str, str] = {
    "reward-model": "release.rewards",
    "tensors": "release.tables",
    "text-classifier": "release.classifiers",
    "text-generator": "release.generators",
}
"""The module of each kind's own gates."""


def judge_candidate(case: Case) -> list[Gate]:
    """Every gate for a candidate that opened; all must pass."""
    candidate, live = case.candidate.manifest, case.live.manifest
    try:
        case = replace(case, policy=read_policy(case.bucket, candidate.name, case.policy))
    except SettingsError as error:
        return [Gate("policy", False, str(error), f"a valid models/{candidate.name}/policy.json, or none")]
    gates = [
        signature_gate(candidate, live),
        licence_gate(candidate, case.policy),
        size_gate(candidate, case.policy),
    ]
    if candidate.kind != live.kind or candidate.kind not in JUDGES:
        wanted = f"the live version's kind, {live.kind}, and one with gates: {', '.join(JUDGES)}"
        return [*gates, Gate("kind", False, candidate.kind, wanted)]
    judge: Callable[[Case], list[Gate]] = importlib.import_module(JUDGES[candidate.kind]).judge
    try:
        return [*gates, *judge(case)]
    except (InvalidDataset, NotFound) as error:
        return [*gates, Gate("data", False, str(error), "the data that the candidate is to be judged by")]
