"""What is kept and said of a candidate that its canary took back."""

from typing import Any

from pawl.identity import isoformat
from release.trial import Trial

WANTED_S = 10.0
"""So soon after the verdict everybody is to be answered by the live version again."""


def incident_of(trial: Trial, restored_ms: int) -> dict[str, Any]:
    """The incident as the state table holds it, open until a later version is live."""
    return {
        "opened_at": isoformat(trial.verdict_ms),
        "restored_at": isoformat(restored_ms),
        "seconds": round((restored_ms - trial.verdict_ms) / 1000, 3),
        "version": trial.version,
        "live": trial.live,
        "weight": trial.notes[-1].weight,
        "because": trial.because,
        "figures": trial.figures(),
        "sentence": sentence(trial),
    }


def sentence(trial: Trial) -> str:
    """It in one sentence, for people."""
    share = f"{trial.notes[-1].weight:.0%}" if trial.notes[-1].weight else "copies"
    return (
        f"The canary of {trial.model} {trial.version} was rolled back at {share} of the traffic: {trial.because}. "
        f"{trial.model} {trial.live} answers everything again."
    )
