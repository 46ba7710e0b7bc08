"""Pairs whose better answer is known, as the labelling page strews them in: what raters are judged by.

They are lines of `pairs/<model>/*.jsonl` with a `gold` (`feedback.pairs` takes them in); a rater's word on one lies
under a key that the pair's own answers give, so neither function asks the other. Both mask texts in the same way.
"""

import json
from typing import Any, NamedTuple

from pawl.bucket import Bucket
from pawl.compared import apart
from pawl.masking import Masker, Policy
from pawl.offered import Offered
from pawl.receipt import Receipt

_PREFERENCE = "preference"


class Gold(NamedTuple):
    """The better of two answers, by its inference_id or text; None for neither."""

    better: str | None


def gold_in(bucket: Bucket, model: str, policy: Policy) -> dict[str, Gold]:
    """What is known of a model's pairs, by what `pawl.compared.pair_of` has for a preference between them."""
    found: dict[str, Gold] = {}
    for key in Offered(bucket).keys(model):
        for line in bucket.read(key).splitlines():
            pair: dict[str, Any] = json.loads(line) if line.strip() else {}
            if pair.get("gold") is not None:
                named = _names(pair, policy)
                found[_pair(pair, named)] = Gold(named[pair["gold"] - 1] if pair["gold"] else None)
    return found


def _names(pair: dict[str, Any], policy: Policy) -> list[str]:
    """What a preference calls the answers: their inference_ids, or else their texts, masked."""
    mask = Masker(policy)
    mask.meet(answer["text"] for answer in pair["answers"])
    return [answer.get("inference_id") or mask(answer["text"]) for answer in pair["answers"]]


def _pair(pair: dict[str, Any], named: list[str]) -> str:
    ids = [answer["inference_id"] for answer in pair["answers"] if answer.get("inference_id")]
    beside = pair.get("inference_id")
    uuids = [Receipt.unproved(each).uuid for each in ([beside] if beside else ids)]
    return f"{max(uuids)}#{_PREFERENCE}.{apart(named if beside else uuids)}"
