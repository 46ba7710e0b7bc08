"""The gates of reward models: they must tell the better answer of pairs that they have not learned from.

A pair counts as right, half right or wrong. What length alone would say is the least that a judge must beat, for people
do prefer longer answers on the whole (Singhal et al. 2023); against the version before it, chance is allowed for.
"""

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pawl.bundle import Manifest, Tensor
from pawl.intervals import wilson
from pawl.pairset import PairDataset, PairRow
from pawl.reward import RewardModel
from release.gate import Case, Contender, Gate, rounded, spoken
from release.heldout import comparisons, held_rows, prompt_leak_gate
from release.policy import GatePolicy
from release.speed import Question, cold_start_gate, latency_gate

Floats = NDArray[np.float64]
INPUTS = [Tensor("prompt", "BYTES", [-1]), Tensor("completion", "BYTES", [-1])]
OUTPUTS = [Tensor("reward", "FP32", [-1])]
_TIMED_ROWS = 30


def judge(case: Case) -> list[Gate]:
    """Every gate of a reward model that follows another one."""
    rows, gates = _own_gates(case)
    new, old = (rightness(cast("RewardModel", each.model), rows) for each in (case.candidate, case.live))
    questions = [question(row) for row in rows[:_TIMED_ROWS]]
    return [
        *gates,
        better_gate(new, old),
        latency_gate(case.candidate.model, case.live.model, questions, case.policy, case.clock),
        cold_start_gate(case.candidate, case.live, questions[0], case.policy),
    ]


def judge_first(case: Case) -> list[Gate]:
    """Every gate of a model's first reward model: `case.live` is the candidate itself, for there is no other."""
    return [shape_gate(case.candidate.manifest), *_own_gates(case)[1]]


def _own_gates(case: Case) -> tuple[list[PairRow], list[Gate]]:
    """The held-out comparisons, and what they say of the candidate alone."""
    dataset = comparisons(case.bucket, case.candidate.manifest).compared
    rows = held_rows(dataset, case.policy)
    if len(rows) < case.policy.pairs_least:
        few = f"{len(rows)} comparisons are held out"
        return rows, [Gate("pairs", False, few, f"at least {case.policy.pairs_least}", float(len(rows)))]
    model = cast("RewardModel", case.candidate.model)
    return rows, [
        prompt_leak_gate(dataset, rows),
        length_gate(model, dataset, rows, case.policy),
        steadiness_gate(case.candidate, rows[:_TIMED_ROWS]),
    ]


def shape_gate(candidate: Manifest) -> Gate:
    """It takes a prompt and a completion, and puts out a reward."""
    fits = (candidate.inputs, candidate.outputs) == (INPUTS, OUTPUTS)
    return Gate("signature", fits, "alike" if fits else "inputs or outputs differ", "prompt, completion; reward")


def length_gate(model: RewardModel, dataset: PairDataset, rows: Sequence[PairRow], policy: GatePolicy) -> Gate:
    """Right more often on held-out pairs than length alone, whose direction is learned from the pairs trained on."""
    right = rightness(model, rows)
    sign = np.sign(_longer(dataset.splits.get("train", [])).sum()) or 1.0
    baseline = float(((1 + sign * _longer(rows)) / 2).mean())
    ends = wilson(float(right.sum()), len(right), policy.confidence)
    says = "longer" if sign > 0 else "shorter"
    return Gate(
        "pairs",
        float(right.mean()) > max(baseline, 0.5),
        f"accuracy {right.mean():.4f} on {len(rows)} pairs",
        f"above {max(baseline, 0.5):.4f}, which always preferring the {says} answer has, and a guess",
        rounded(float(right.mean())),
        rounded(max(baseline, 0.5)),
        {"rows": len(rows), "interval": spoken(ends), "length_only": rounded(baseline)},
    )


def better_gate(new: Floats, old: Floats) -> Gate:
    """Not worse than the version that judges now, beyond one standard error of the paired difference.

    Equal is enough: it has learned comparisons that the other has not, and both are asked what neither has seen.
    """
    error = float(np.sqrt(np.square(new - old).sum())) / len(new)
    least = float(old.mean()) - error
    return Gate(
        "live",
        float(new.mean()) >= round(least, 9),
        f"accuracy {new.mean():.4f} on {len(new)} pairs",
        f"at least {least:.4f}: the live version's {old.mean():.4f} less {error:.4f} that may be chance",
        rounded(float(new.mean())),
        rounded(least),
        {"rows": len(new), "live": rounded(float(old.mean()))},
    )


def steadiness_gate(candidate: Contender, rows: Sequence[PairRow]) -> Gate:
    """The same answer gets the same reward, bit for bit, alone and among others, in a second session as well."""
    prompts, texts = [row.prompt for row in rows], [row.chosen for row in rows]
    first = cast("RewardModel", candidate.model)
    second = RewardModel(candidate.bundle)
    together = first.rewards(prompts, texts)
    alone = np.concatenate([second.rewards([prompt], [text]) for prompt, text in zip(prompts, texts, strict=True)])
    is_same = bool(np.array_equal(together, alone))
    measured = f"{'the same' if is_same else 'other'} rewards of {len(rows)} answers, alone and among others"
    return Gate("determinism", is_same, measured, "the same bits", evidence={"rows": len(rows)})


def rightness(model: RewardModel, rows: Sequence[PairRow]) -> Floats:
    """1 where the chosen answer is rewarded more, 0 where less, and half where both alike; shape (rows,)."""
    prompts = [row.prompt for row in rows]
    chosen = model.rewards(prompts, [row.chosen for row in rows])
    rejected = model.rewards(prompts, [row.rejected for row in rows])
    return (1 + np.sign(chosen - rejected)) / 2


def question(row: PairRow) -> Question:
    """A pair's chosen answer as the model is asked over the wire."""
    prompt = row.prompt if isinstance(row.prompt, str) else json.dumps(row.prompt)
    return {"prompt": [prompt], "completion": [row.chosen]}


def _longer(rows: Sequence[PairRow]) -> Floats:
    """1 where the chosen answer is the longer one, -1 where it is the shorter one; shape (rows,)."""
    return np.array([np.sign(len(row.chosen) - len(row.rejected)) for row in rows], np.float64)
