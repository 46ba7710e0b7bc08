"""Preferences and rankings: which of several answers is better. They name the answers themselves, in their value.

Without an `inference_id` beside the value, answers are compared by their inference_ids; all must have answered the same
input: a receipt's digest tells, with no look-up. With one, they are texts, each an answer to the input of that
inference. So a text never passes for an id, nor an altered id for a text. Texts are masked before they are told apart:
by what is kept of them, a pair is found again, whoever compared it and in whatever order.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from feedback.schema import Preference, Rank, Tie
from feedback.values import parse
from pawl.compared import apart
from pawl.errors import InvalidRequest
from pawl.masking import Masker
from pawl.narrowing import is_object
from pawl.receipt import Receipt

Verify = Callable[[str, str], Receipt]
"""The receipt in an id, by what the sender calls it."""
LARGEST_RANKING = 16
_PREFERENCE, _TIE, _RANKING = TypeAdapter(Preference), TypeAdapter(Tie), TypeAdapter(list[Rank])
_ID = re.compile(r"[A-Za-z0-9]{1,8}\.[0-9a-f]{32}(\.[^.\s]+){6}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison as it is kept: with the newest of its answers, told apart from others of that one by `apart`."""

    value: Any
    receipt: Receipt
    apart: str


def compare(name: str, type: str, value: Any, inference_id: str | None, verify: Verify, mask: Masker) -> Comparison:
    """The comparison in a value; the same answers in any other order are told apart from others alike."""
    kept, named = _ranking(name, value) if type == "ranking" else _preference(name, value)
    if len(set(named)) < len(named):
        raise InvalidRequest(f"{name} compares different answers: one is named twice")
    if inference_id is None:
        receipts = _same_input(
            name,
            [
                verify(each, f"value: {name} without an inference_id beside it takes inference_ids; one")
                for each in named
            ],
        )
        return Comparison(kept, max(receipts, key=lambda receipt: receipt.uuid), apart(each.uuid for each in receipts))
    if any(map(is_id, named)):
        raise InvalidRequest(
            f"{name} takes inference_ids in its value alone, or texts with the inference_id of their input"
        )
    mask.meet(named)
    return Comparison(mask(kept), verify(inference_id, "inference_id"), apart(mask(named)))


def is_id(text: str) -> bool:
    """Whether a text looks like an inference_id, proved or not."""
    return _ID.fullmatch(text) is not None


def _preference(name: str, value: Any) -> tuple[Any, list[str]]:
    if is_object(value) and "tie" in value:
        tie = parse(_TIE, name, value, '{"tie": [id, id]}')
        return tie.model_dump(), tie.tie
    given = parse(_PREFERENCE, name, value, '{"chosen": id, "rejected": id, "margin": optional} or {"tie": [id, id]}')
    return given.model_dump(exclude_none=True), [given.chosen, given.rejected]


def _ranking(name: str, value: Any) -> tuple[Any, list[str]]:
    ranks = parse(_RANKING, name, value, '[{"value": id, "rank": 1}, ...]')
    if not 2 <= len(ranks) <= LARGEST_RANKING:
        raise InvalidRequest(f"{name} takes 2 to {LARGEST_RANKING} answers")
    return [rank.model_dump() for rank in ranks], [rank.value for rank in ranks]


def _same_input(name: str, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
    if len({receipt.uuid for receipt in receipts}) < len(receipts):
        raise InvalidRequest(f"{name} compares different answers: one is named twice")
    if len({(receipt.model, receipt.input_digest) for receipt in receipts}) > 1:
        raise InvalidRequest(f"{name} compares answers of one model to the same input: these are none")
    return receipts
