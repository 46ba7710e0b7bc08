"""The next pairs for a rater to compare: never one again that they have said something of."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from pydantic import BaseModel

from feedback.choice import Candidate, choose
from feedback.comparisons import Verify, compare
from feedback.intake import Intake
from feedback.pairs import Answer, Pair, PairFiles
from feedback.tally import METRIC, TIE, Tally, mark_of
from pawl.errors import PawlError
from pawl.masking import NOTHING, Masker
from pawl.receipt import Receipt


class Asked(BaseModel):
    """A pair as a rater sees it, its answers in random order. Nothing tells whether its own is known."""

    id: str
    prompt: str
    answers: list[Answer]
    inference_id: str | None


class Batch(BaseModel):
    """Pairs to label, and how many this rater has labelled and has left, these included.

    `closed` are pairs that nobody can label any more: their answers' receipts are too old, or not this deployment's.
    """

    pairs: list[Asked]
    labelled: int
    left: int
    closed: int


@dataclass(frozen=True, slots=True)
class Labelling:
    """Chooses pairs by what was said of them."""

    files: PairFiles
    tally: Tally
    intake: Intake

    def next(self, model: str, rater: str, count: int, now_ms: int, random: Random) -> Batch:
        """At most `count` pairs that this rater has not labelled, most instructive first."""
        pairs = list(self.files.of(model))
        ids = [self._id(pair, model, now_ms) for pair in pairs]
        named = {id: pair for id, pair in zip(ids, pairs, strict=True) if id is not None}
        votes = self.tally.votes(model, named)
        open_pairs = {id: pair for id, pair in named.items() if rater not in votes.get(id, {})}
        candidates = [_candidate(id, pair, votes.get(id, {})) for id, pair in open_pairs.items()]
        return Batch(
            pairs=[_asked(each.id, named[each.id], random) for each in choose(candidates, count, random)],
            labelled=len(named) - len(open_pairs),
            left=len(open_pairs),
            closed=ids.count(None),
        )

    def _id(self, pair: Pair, model: str, now_ms: int) -> str | None:
        def verify(text: str, called: str) -> Receipt:
            return self.intake.keys.verify(text, now_ms=now_ms, valid_days=self.intake.valid_days, name=called)

        return identify(pair, model, verify)


def identify(pair: Pair, model: str, verify: Verify) -> str | None:
    """What tells a pair from all others, in whatever order its answers stand; None when a vote on it is refused."""
    tie = {"tie": [answer.name for answer in pair.answers]}
    try:
        found = compare(METRIC, METRIC, tie, pair.inference_id, verify, Masker(NOTHING))  # pairs are masked already
    except PawlError:
        return None
    return f"{found.receipt.uuid}#{METRIC}.{found.apart}" if found.receipt.model == model else None


def _candidate(id: str, pair: Pair, votes: Mapping[str, str]) -> Candidate:
    said = list(votes.values())
    first, second = (said.count(mark_of(answer.name)) + said.count(TIE) / 2 for answer in pair.answers)
    return Candidate(id, first, second, pair.chance, pair.gold is not None)


def _asked(id: str, pair: Pair, random: Random) -> Asked:
    answers = random.sample(pair.answers, len(pair.answers))
    return Asked(id=id, prompt=pair.prompt, answers=answers, inference_id=pair.inference_id)
