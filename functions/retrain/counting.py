"""How much there is to learn from, as far as it can be told without reading any traffic."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pawl.compared import pair_of
from pawl.identity import unix_ms
from retrain.comparisons import PREFERENCE, RANKING, opinion_in
from retrain.selection import LABEL, Selection, labels_in
from retrain.thumbs import thumb_in

_PAIRS = (PREFERENCE, RANKING)


class Learnable(NamedTuple):
    """How much there is to learn from: answers that people labelled, or pairs that they compared; and thumbs."""

    labels: int
    thumbs: int


def count_learnable(feedback: Iterable[Mapping[str, Any]], selection: Selection, since_ms: int) -> Learnable:
    """How many answers people have labelled, pairs compared, answers graded since then, believed or not.

    Each counts once, whoever speaks of it how often, and what cannot be read does not. What was written before
    `since_ms` was there to be learned from when the last dataset was frozen: the next one is not made for it.
    """
    labels, thumbs = set[str](), set[str]()
    for item in feedback:
        metric, answer = item["metric"], str(item["sk"]).partition("#")[0]
        if unix_ms(item["given_at"]) < since_ms:
            continue
        if metric in selection.metrics:
            if _says_what_is_right(item, selection):
                labels.add(pair_of(item["sk"]) if metric in _PAIRS else answer)
        elif metric in selection.graded and thumb_in(item, selection.graded[metric]) is not None:
            thumbs.add(answer)
    return Learnable(len(labels), len(thumbs))


def _says_what_is_right(item: Mapping[str, Any], selection: Selection) -> bool:
    read = labels_in if LABEL in selection.metrics else opinion_in
    return read(item) is not None
