"""Whether the same question gets the same answer: again, in another session, and among other questions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pawl.intervals import wilson
from pawl.model import Column, open_model
from release.gate import Contender, Gate, rounded, spoken
from release.policy import GatePolicy

Floats = NDArray[np.float64]
_BATCH = 32


def steadiness_gate(
    candidate: Contender, questions: list[Mapping[str, Column]], output: str, policy: GatePolicy
) -> Gate:
    """The output is the same, bit for bit, asked twice and in a second session, and gives the same label in a batch.

    Rows of text are computed one by one. Where rows of numbers go together, int8 activations are rounded by the
    largest value of all of them, which may move the last digits.
    """
    model, other = candidate.model, open_model(candidate.bundle)

    def asked(one: Mapping[str, Column]) -> Floats:
        return np.asarray(model.predict(one).outputs[output], np.float64)

    alone = np.concatenate([asked(question) for question in questions])
    again = np.concatenate([asked(question) for question in questions])
    elsewhere = np.concatenate([np.asarray(other.predict(each).outputs[output], np.float64) for each in questions])
    starts = range(0, len(questions), _BATCH)
    together = np.concatenate([asked(_joined(questions[start : start + _BATCH])) for start in starts])
    agreement = float((alone.argmax(-1) == together.argmax(-1)).mean())
    apart = float(np.abs(alone - together).max())
    ends = wilson(agreement * len(alone), len(alone), policy.confidence)
    is_same = np.array_equal(alone, again) and np.array_equal(alone, elsewhere)
    return Gate(
        "determinism",
        is_same and ends[1] >= policy.batch_agreement,
        f"{'the same' if is_same else 'not the same'} twice and in two sessions; {agreement:.4f} of {len(questions)} "
        f"answers the same in a batch, {apart:.4f} apart at most",
        f"the same bits alone, and of the answers in a batch not surely less than {policy.batch_agreement} the same",
        rounded(agreement),
        policy.batch_agreement,
        {"rows": len(questions), "is_same": is_same, "apart_at_most": rounded(apart), "interval": spoken(ends)},
    )


def _joined(questions: list[Mapping[str, Column]]) -> Mapping[str, Column]:
    """All questions as one batch."""
    names = questions[0]
    if all(isinstance(questions[0][name], np.ndarray) for name in names):
        return {name: np.concatenate([np.asarray(each[name]) for each in questions]) for name in names}
    return {name: [value for each in questions for value in each[name]] for name in names}
