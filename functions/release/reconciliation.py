"""What it means when the alias is not as a canary left it: a deployment in the middle, or somebody's hand.

A hand that takes traffic from the candidate is obeyed: whoever does so in a hurry has a reason. One that gives it more
than it has proved is not, since `promote` is there for that.
"""

from dataclasses import dataclass
from typing import Literal

from release.trial import Trial

Kind = Literal["as planned", "deployed", "taken", "moved back", "put back"]
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Shares:
    """An alias: the function version that answers, and those that answer a part instead of it."""

    main: str
    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the alias tells, in one word and in a sentence."""

    kind: Kind
    because: str = ""


def reconcile(trial: Trial, found: Shares, layer: str, live_layer: str, known_layers: frozenset[str]) -> Finding:
    """Compare the alias with the trial.

    `layer` is the models layer that the alias' main version serves, `live_layer` the one that a deployment would give
    it; `known_layers` are those of versions that were live once. The template's own is `starter` in all of them.
    """
    share = found.weights.get(trial.function_version, 0.0)
    if found.main == trial.baseline:
        if set(found.weights) <= {trial.function_version} and abs(share - trial.weight) < _CLOSE:
            return Finding("as planned")
        if share < trial.weight and not set(found.weights) - {trial.function_version}:
            return Finding("taken", f"by hand the alias gives it {share:.0%} instead of {trial.weight:.0%}")
        return Finding("put back", f"by hand the alias gave {_told(found)}; put back to {trial.weight:.0%}")
    if layer == live_layer:
        return Finding("deployed", f"a deployment put function version {found.main} in the place of {trial.baseline}")
    if layer in known_layers and layer != trial.layer_arn:
        return Finding("moved back", f"by hand the alias was moved to function version {found.main}")
    return Finding("put back", f"by hand the alias was moved to function version {found.main}, which proved nothing")


def _told(found: Shares) -> str:
    shares = ", ".join(f"{share:.0%} to function version {version}" for version, share in found.weights.items())
    return f"{shares}" if shares else "nothing away"
