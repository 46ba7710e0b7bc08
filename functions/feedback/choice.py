"""Which pair a rater is asked about next: the one whose label teaches most, with gold pairs strewn among them.

What is believed of a pair is a Beta distribution of the chance that its first answer is better: uniform before anything
was said, or as strong as two votes on what a reward model thinks. A label is worth the variance that it is expected to
take away. So few labels come before many, and of equally many those that disagree come first, without a weight to tune.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

GOLD_SHARE = 0.1
"""The chance that a pair asked is one whose answer is known: often enough to judge a rater by, rare enough to pay."""
PRIOR_VOTES = 2.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that a rater may be asked about: votes for each of its answers, a tie half a vote for both.

    `chance` is that of the first answer to be better, as a reward model has it.
    """

    id: str
    first: float = 0.0
    second: float = 0.0
    chance: float = 0.5
    is_gold: bool = False

    @property
    def worth(self) -> float:
        """The variance that the next label is expected to take from what is believed of this pair.

        >>> [round(Candidate("", *votes).worth, 4) for votes in ((0, 0), (1, 0), (1, 1), (2, 0))]
        [0.0278, 0.0139, 0.01, 0.0075]
        """
        first = PRIOR_VOTES * self.chance + self.first
        second = PRIOR_VOTES * (1 - self.chance) + self.second
        total = first + second
        return first * second / (total * (total + 1)) ** 2


def choose(candidates: Sequence[Candidate], count: int, random: Random) -> list[Candidate]:
    """At most `count` of the pairs that a rater has not labelled, in the order to ask; equals come in random order."""
    shuffled = random.sample(candidates, len(candidates))
    gold = [each for each in shuffled if each.is_gold]
    plain = sorted((each for each in shuffled if not each.is_gold), key=lambda each: each.worth)
    chosen = list[Candidate]()
    while len(chosen) < count and (plain or gold):
        is_gold_next = bool(gold) and (not plain or random.random() < GOLD_SHARE)
        chosen.append((gold if is_gold_next else plain).pop())
    return chosen
