"""Whether the same question gets the same answer: again, in another session, and among other questions."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pawl.model import Column, open_model
from release.gate import Contender, Gate, rounded
from release.policy import GatePolicy

Floats = NDArray[np.float64]
Join = Callable[[list[Mapping[str, Column]]], Mapping[str, Column]]


def steadiness_gate(
    candidate: Contender, questions: list[Mapping[str, Column]], output: str, policy: GatePolicy
) -> Gate:
    """The output is the same, bit for bit, asked twice and in a second session, and gives the same label in a batch.

    A batch may move the last digits: int8 activations are rounded by the largest value of the whole batch.
    """
    model, other = candidate.model, open_model(candidate.bundle)

    def asked(one: Mapping[str, Column]) -> Floats:
        return np.asarray(model.predict(one).outputs[output], np.float64)

    alone = np.concatenate([asked(question) for question in questions])
    again = np.concatenate([asked(question) for question in questions])
    elsewhere = np.concatenate([np.asarray(other.predict(each).outputs[output], np.float64) for each in questions])
    together = asked(_joined(questions))
    agreement = float((alone.argmax(-1) == together.argmax(-1)).mean())
    apart = float(np.abs(alone - together).max())
    is_same = np.array_equal(alone, again) and np.array_equal(alone, elsewhere)
    return Gate(
        "determinism",
        is_same and agreement >= policy.batch_agreement,
        f"{'the same' if is_same else 'not the same'} twice and in two sessions; {agreement:.4f} of {len(questions)} "
        f"answers the same in a batch, {apart:.4f} apart at most",
        f"the same bits alone, and {policy.batch_agreement} of the answers the same in a batch",
        rounded(agreement),
        policy.batch_agreement,
        {"rows": len(questions), "is_same": is_same, "apart_at_most": rounded(apart)},
    )


def _joined(questions: list[Mapping[str, Column]]) -> Mapping[str, Column]:
    """All questions as one batch."""
    names = questions[0]
    if all(isinstance(questions[0][name], np.ndarray) for name in names):
        return {name: np.concatenate([np.asarray(each[name]) for each in questions]) for name in names}
    return {name: [value for each in questions for value in each[name]] for name in names}
