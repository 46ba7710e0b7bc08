"""Pairs whose better answer is known, as the labelling page strews them in: what raters are judged by.

They are lines of `pairs/<model>/*.jsonl` with a `gold` (`feedback.pairs` takes them in); a rater's word on one lies
under a key that the pair's own answers give, so neither function asks the other. Both mask texts in the same way.
Others may write files too: a line that is no pair judges nobody, and keeps nothing else from being learned.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from pawl.bucket import Bucket
from pawl.compared import apart
from pawl.errors import InvalidReceipt
from pawl.masking import Masker, Policy
from pawl.offered import Offered
from pawl.receipt import Receipt

_PREFERENCE = "preference"


class Gold(NamedTuple):
    """The better of two answers, by its inference_id or text; None for neither."""

    better: str | None


class Known(NamedTuple):
    """Gold by what `pawl.compared.pair_of` has for a preference between the pair, and how many lines are no pair."""

    gold: Mapping[str, Gold]
    unreadable: int = 0


class _Answer(BaseModel):
    text: str
    inference_id: str | None = None


class _Pair(BaseModel):
    """What matters here of a line, which may hold more."""

    answers: Annotated[list[_Answer], Field(min_length=2, max_length=2)]
    inference_id: str | None = None
    gold: Literal[0, 1, 2] | None = None


def gold_in(bucket: Bucket, model: str, policy: Policy) -> Known:
    """What is known of a model's pairs."""
    found, unreadable = dict[str, Gold](), 0
    for line in _lines(bucket, model):
        try:
            pair = _Pair.model_validate_json(line)
            if pair.gold is not None:
                named = _names(pair, policy)
                found[_key(pair, named)] = Gold(named[pair.gold - 1] if pair.gold else None)
        except (ValidationError, InvalidReceipt):
            unreadable += 1
    return Known(found, unreadable)


def _lines(bucket: Bucket, model: str) -> Iterator[bytes]:
    for key in Offered(bucket).keys(model):
        yield from (line for line in bucket.read(key).splitlines() if line.strip())


def _names(pair: _Pair, policy: Policy) -> list[str]:
    """What a preference calls the answers: their inference_ids, or else their texts, masked."""
    mask = Masker(policy)
    mask.meet(answer.text for answer in pair.answers)
    return [answer.inference_id or mask(answer.text) for answer in pair.answers]


def _key(pair: _Pair, named: list[str]) -> str:
    beside = pair.inference_id
    ids = [beside] if beside else [answer.inference_id or "" for answer in pair.answers]
    uuids = [Receipt.unproved(each).uuid for each in ids]
    return f"{max(uuids)}#{_PREFERENCE}.{apart(named if beside else uuids)}"
