"""Candidates made from data unlike the traffic: how many the canary takes back by that alone, and after how much.

Each version has a reference of 150 rows of its own. Its inputs are normal in eight directions, its answers less
sure the further a question lies from what it was made with: for the candidate so many deviations more than for live.
"""

from dataclasses import dataclass, replace

import numpy as np

from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from release.familiarity import usual_ranges
from release.seen import Seen
from release.terms import CanaryPolicy
from release.trial import FAMILIARITY, begin_trial, judge

SEEDS, APART = 200, (0.0, 1.0, 1.5, 2.0)
REFERENCE_ROWS, BATCH_ROWS, BATCHES = 150, 50, 40
_DIRECTIONS = 8
_POLICY = CanaryPolicy()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of candidates so far from the traffic the share that was taken back, and after how many answers of both arms."""

    apart: float
    taken_back: float
    answers: float


def measure(seeds: int = SEEDS) -> list[Outcome]:
    """An outcome for each distance."""
    return [outcome(apart, [batches_until_taken_back(seed, apart) for seed in range(seeds)]) for apart in APART]


def outcome(apart: float, batches: list[int]) -> Outcome:
    """The outcome of candidates that were taken back after so many batches; 0 of those that were not."""
    found = [each for each in batches if each]
    answers = 2 * BATCH_ROWS * sum(found) / len(found) if found else 0.0
    return Outcome(apart, len(found) / len(batches), answers)


def batches_until_taken_back(seed: int, apart: float, batches: int = BATCHES) -> int:
    """After how many batches of both arms the canary of a seed is taken back; 0 if it never is."""
    generator = np.random.default_rng(seed)
    references = [Profile.of(answers(generator, REFERENCE_ROWS), FEATURE_RANGES) for _ in range(2)]
    trial = begin_trial(("triage", "2"), ("2", "layer"), ("1", "1"), "{}", 0)
    for batch in range(1, batches + 1):
        tallies = [
            _familiar(reference, answers(generator, BATCH_ROWS, far))
            for reference, far in zip(references, (apart, 0.0), strict=True)
        ]
        comparison = trial.comparisons[FAMILIARITY].update(np.stack(tallies))
        trial = replace(trial, comparisons={**trial.comparisons, FAMILIARITY: comparison})
        if judge(trial, _POLICY, 0).action == "roll_back":
            return batch
    return 0


def answers(generator: np.random.Generator, rows: int, apart: float = 0.0) -> dict[str, np.ndarray]:
    """The features of so many answers to questions that lie so far from what a version was made with."""
    confidence = 1 / (1 + np.exp(apart - 2 + generator.normal(size=rows)))
    inputs = {f"projection_{d}": generator.normal(apart, 1, rows) for d in range(_DIRECTIONS)}
    return {"confidence": confidence, **inputs}


def table(found: list[Outcome]) -> str:
    """The outcomes as text."""
    lines = [f"  {'deviations from the traffic':<30}{'taken back':>12}{'answers':>10}"]
    lines += [f"  {each.apart:<30.1f}{each.taken_back:>12.1%}{each.answers:>10,.0f}" for each in found]
    return "\n".join(lines)


def _familiar(reference: Profile, columns: dict[str, np.ndarray]) -> np.ndarray:
    profile = Profile.like(reference, is_open=True)
    profile.update(columns)
    return Seen.of([profile], usual_ranges(reference)).familiar
