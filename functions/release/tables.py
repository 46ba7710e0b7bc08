"""The gates of models that take tensors and give a score for each of their labels.

They are judged by labelled rows that somebody put under `models/<model>/holdout.npz` (format: `pawl.tensorset`): no
dataset is frozen for them, so there is nothing to look for a leak in.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from pawl.attack import attack_numbers
from pawl.bundle import Manifest
from pawl.errors import InvalidDataset, NotFound
from pawl.model import Column, Model
from pawl.tensorset import TensorSet, read_tensor_set
from release.answers import Answers, Both, Floats, places_of
from release.fairness import fairness_gates
from release.gate import Case, Gate
from release.policy import GatePolicy
from release.quality import broken_gate, calibration_gate, holdout_gate, mended_gate, slices_gate, too_few
from release.robustness import loss_gate, loss_under_attack
from release.speed import cold_start_gate, latency_gate
from release.steadiness import steadiness_gate

_TIMED_ROWS = 30
_LEAST_DEVIATION = 1e-12


def judge(case: Case) -> list[Gate]:
    """The gates of a tensor model, by the labelled rows that lie beside its versions."""
    key = f"models/{case.candidate.manifest.name}/holdout.npz"
    try:
        data = case.bucket.read(key)
    except NotFound as error:
        raise NotFound(f"{key} is missing: put labelled rows there, see pawl.tensorset") from error
    gates = judge_on(case, read_tensor_set(data, case.candidate.manifest))
    digest = hashlib.sha256(data).hexdigest()
    return [
        replace(gate, evidence={**gate.evidence, "sha256": digest}) if gate.name == "holdout" else gate
        for gate in gates
    ]


def judge_on(case: Case, held: TensorSet) -> list[Gate]:
    """Every gate on these rows."""
    policy, models, until = case.policy, (case.candidate.model, case.live.model), case.clock() + case.policy.budget_s
    output = score_output(case.candidate.manifest)
    places = places_of(held.rows, policy.rows_at_most)
    rows = [held.rows[place] for place in places]
    both = Both(rows, *(_answers(model, held, places, output) for model in models))
    questions: list[Mapping[str, Column]] = [held.question(place) for place in places[: policy.steady_rows]]
    return [
        holdout_gate(both, policy),
        slices_gate(both, policy),
        *fairness_gates(both, policy),
        mended_gate(both, policy),
        broken_gate(both, policy),
        calibration_gate(both, policy),
        _attack_gate(case, held, places, both, output, until),
        steadiness_gate(case.candidate, questions, output, policy),
        latency_gate(*models, questions[:_TIMED_ROWS], policy, case.clock),
        cold_start_gate(case.candidate, case.live, questions[0], policy),
    ]


def score_output(manifest: Manifest) -> str:
    """The output with a score for each label: the first of real numbers whose last dimension is their number."""
    for tensor in manifest.outputs:
        if tensor.datatype.startswith("FP") and manifest.labels and tensor.shape[-1:] == [len(manifest.labels)]:
            return tensor.name
    raise InvalidDataset(f"{manifest.name} gives no score for each of its labels: nothing tells a right answer")


def _answers(model: Model, held: TensorSet, places: list[int], output: str) -> Answers:
    told = np.concatenate([_scores(model, held.question(place), output) for place in places])
    return Answers.told(tuple(model.manifest.labels), told, [held.rows[place].label for place in places])


def _scores(model: Model, question: Mapping[str, Column], output: str) -> Floats:
    """Probabilities of a batch, shape (rows, labels); scores that are none are made so."""
    told = np.asarray(model.predict(question).outputs[output], np.float64)
    if (told >= 0).all() and np.allclose(told.sum(-1), 1, atol=1e-3):
        return told
    raised = np.exp(told - told.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _attack_gate(case: Case, held: TensorSet, places: list[int], both: Both, output: str, until: float) -> Gate:
    """Accuracy lost when an attacker moves every real number a little, against the live version's."""
    policy = case.policy
    chosen = places_of(both.rows, policy.attacked_rows if held.real else 0)
    reach = policy.attack_epsilon * np.maximum(held.deviations(), _LEAST_DEVIATION) if chosen else np.zeros(0)
    asked: list[tuple[float, float, int]] = []
    for at in chosen:
        if asked and case.clock() > until:
            break
        new, old = (
            loss_under_attack(answers, at, partial(_attack, model, held, places[at], output, reach, policy))
            for model, answers in ((case.candidate.model, both.new), (case.live.model, both.old))
        )
        asked.append((new[0], old[0], new[1] + old[1]))
    if not asked:
        return too_few("attack", 0, 1)
    lost, lost_live, queries = np.array(asked).T
    about = {"texts": len(asked), "queries": int(queries.sum()), "chosen": len(chosen)}
    return loss_gate("attack", lost, lost_live, range(len(asked)), policy.attack_margin, policy, about)


def _attack(
    model: Model, held: TensorSet, place: int, output: str, reach: Floats, policy: GatePolicy, true: int
) -> tuple[bool, int]:
    """Whether a right answer to a row can be turned by moving its numbers, and the questions that took."""

    def score(rows: Floats) -> Floats:
        return _scores(model, held.moved(place, rows[0]), output)

    done = attack_numbers(held.numbers(place), true, score, policy.attack_queries, reach, policy.seed)
    return done.is_fooled, done.queries
