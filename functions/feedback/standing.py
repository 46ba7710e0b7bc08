"""How far the labelling of a model's pairs is, and who knows the answers that are known: for those who run it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from feedback.labelling import identify
from feedback.pairs import Pair
from feedback.tally import TIE, mark_of
from pawl.receipt import Receipt


@dataclass(slots=True)
class Rater:
    """How many pairs a rater has labelled, how many of those were gold, and on how many of these they were right."""

    labels: int = 0
    gold: int = 0
    right: int = 0


@dataclass(slots=True)
class Standing:
    """Pairs by how many labels they have, and each rater's work. A pair that no receipt fits stands in `unusable`."""

    pairs: int = 0
    gold: int = 0
    unusable: int = 0
    by_labels: dict[int, int] = field(default_factory=dict[int, int])
    raters: dict[str, Rater] = field(default_factory=dict[str, Rater])


def standing(pairs: Iterable[Pair], votes: Mapping[str, Mapping[str, str]], model: str) -> Standing:
    """Of these pairs, by what was said of them; `votes` as `Tally.votes` has them. The same pair twice is one."""
    named = dict[str, Pair]()
    told = Standing()
    for pair in pairs:
        id = identify(pair, model, Receipt.unproved)
        if id is None:
            told.unusable += 1
        else:
            named[id] = pair
    for id, pair in named.items():
        _count(told, pair, votes.get(id, {}))
    told.by_labels = dict(sorted(told.by_labels.items()))
    told.raters = dict(sorted(told.raters.items()))
    return told


def _count(told: Standing, pair: Pair, said: Mapping[str, str]) -> None:
    told.pairs += 1
    told.gold += pair.gold is not None
    told.by_labels[len(said)] = told.by_labels.get(len(said), 0) + 1
    for name, mark in said.items():
        rater = told.raters.setdefault(name, Rater())
        rater.labels += 1
        if pair.gold is not None:
            rater.gold += 1
            rater.right += mark == (mark_of(pair.answers[pair.gold - 1].name) if pair.gold else TIE)
