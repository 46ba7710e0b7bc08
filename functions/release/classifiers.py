"""The gates of text classifiers, on the frozen dataset that the candidate was made from."""

from collections.abc import Mapping

from pawl.dataset import FrozenDataset
from pawl.datasets import Datasets
from pawl.model import Column
from release.answers import ask_both
from release.fairness import fairness_gates
from release.gate import Case, Gate
from release.leak import leak_gate
from release.quality import (
    broken_gate,
    calibration_gate,
    corrections,
    holdout_gate,
    learned_gate,
    mended_gate,
    recent_gate,
    slices_gate,
    sureness_gate,
)
from release.robustness import attack_gate, perturbation_gate
from release.speed import cold_start_gate, latency_gate
from release.steadiness import steadiness_gate

RECALIBRATED = "recalibrate"
"""The recipe whose candidates answer with the live version's weights and other probabilities."""
_TIMED_ROWS = 30


def judge(case: Case) -> list[Gate]:
    """The gates of a classifier whose dataset lies where the candidate's lineage says."""
    return judge_on(case, Datasets(case.bucket).load(case.candidate.manifest.lineage.dataset))


def judge_on(case: Case, dataset: FrozenDataset) -> list[Gate]:
    """Every gate on these rows.

    What was only recalibrated is not asked for better answers to recent questions, but to know better how sure to be.
    """
    until = case.clock() + case.policy.budget_s
    return [leak_gate(dataset, case.policy), *_quality(case, dataset), *_conduct(case, dataset, until)]


def _quality(case: Case, dataset: FrozenDataset) -> list[Gate]:
    policy, models = case.policy, (case.candidate.model, case.live.model)
    holdout = ask_both(*models, dataset.splits["holdout"], policy.rows_at_most)
    recent = ask_both(*models, dataset.splits.get("recent", []), policy.rows_at_most)
    gates = [holdout_gate(holdout, policy), slices_gate(holdout, policy), *fairness_gates(holdout, policy)]
    if case.candidate.manifest.lineage.recipe == RECALIBRATED:
        return [*gates, sureness_gate(recent, policy)]
    corrected = ask_both(*models, corrections(dataset.splits["train"]), policy.rows_at_most)
    held = holdout.and_also(recent)
    return [
        *gates,
        recent_gate(recent, policy),
        mended_gate(held, policy),
        learned_gate(corrected, policy),
        broken_gate(held, policy),
        calibration_gate(held, policy),
    ]


def _conduct(case: Case, dataset: FrozenDataset, until: float) -> list[Gate]:
    """How the candidate behaves whatever it answers: under attack, alone and in a batch, and how fast."""
    policy, models = case.policy, (case.candidate.model, case.live.model)
    rows = dataset.splits["holdout"]
    put = ask_both(*models, rows, max(policy.perturbed_rows, policy.attacked_rows))
    questions: list[Mapping[str, Column]] = [{"text": [row.text]} for row in rows[: policy.steady_rows]]
    return [
        perturbation_gate(put, *models, policy),
        attack_gate(put, *models, policy, case.clock, until),
        steadiness_gate(case.candidate, questions, "probabilities", policy),
        latency_gate(*models, questions[:_TIMED_ROWS], policy, case.clock),
        cold_start_gate(case.candidate, case.live, questions[0], policy),
    ]
