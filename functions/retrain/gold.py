"""Pairs whose better answer is known, as the labelling page strews them in: what raters are judged by.

They are lines of `pairs/<model>/*.jsonl` with a `gold` (`feedback.pairs` takes them in); a rater's word on one lies
under a key that the pair's own answers give, so neither function asks the other.
"""

import json
from typing import Any, NamedTuple

from pawl.bucket import Bucket
from pawl.compared import apart
from pawl.receipt import Receipt

_PREFERENCE = "preference"


class Gold(NamedTuple):
    """The better of two answers, by its inference_id or text; None for neither."""

    better: str | None


def gold_in(bucket: Bucket, model: str) -> dict[str, Gold]:
    """What is known of a model's pairs, by what `pawl.compared.pair_of` has for a preference between them."""
    found: dict[str, Gold] = {}
    for key in bucket.keys(f"pairs/{model}/"):
        if key.endswith(".jsonl"):
            for line in bucket.read(key).splitlines():
                pair: dict[str, Any] = json.loads(line) if line.strip() else {}
                if pair.get("gold") is not None:
                    found[_pair(pair)] = Gold(_better(pair))
    return found


def _pair(pair: dict[str, Any]) -> str:
    ids = [answer["inference_id"] for answer in pair["answers"] if answer.get("inference_id")]
    beside = pair.get("inference_id")
    uuids = [Receipt.unproved(each).uuid for each in ([beside] if beside else ids)]
    named = [answer["text"] for answer in pair["answers"]] if beside else uuids
    return f"{max(uuids)}#{_PREFERENCE}.{apart(named)}"


def _better(pair: dict[str, Any]) -> str | None:
    if pair["gold"] == 0:
        return None
    answer = pair["answers"][pair["gold"] - 1]
    return answer.get("inference_id") or answer["text"]
