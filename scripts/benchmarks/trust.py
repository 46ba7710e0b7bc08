"""Whether the consensus holds when a fifth of the raters turn hostile, and what screening a million votes costs.

Points are percent of the scale, -4..4: the mean distance of the attacked consensus from the clean one, each method's
own, so 1 point is 0.08. A consensus of honest raters alone loses some too, as fewer raters are left: `oracle`, which
knows them, shows that floor. The method is told nothing of who attacks, and its priors and limits are its defaults.

Crowds: simulated ones, and the single ratings of VADER's archive (Hutto, Gilbert 2014), read from the folder given. The
archive names no raters: an item has its ratings in a list, and no file says who gave which. Read by position, ratings
of film reviews correlate between neighbouring items (0.35, less their item's mean) in pages of 30 items exactly, and
not across (-0.05): there a position is one rater for a page, and the page is all that we know of them. In tweets,
products and news neighbours do not correlate (0.00): ratings came in an order of their own for each item. There too a
position of a page of 30 is taken for one rater: the ratings and their spread are real, a rater's habits are not, and
the attackers' habits are what the attack says. Longer lists (tweets have up to 99 ratings) are taken whole.
"""

import json
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.environments import Unavailable
from benchmarks.figures import Figure, Findings
from pawl.preferences import pair_consensus
from pawl.scores import score_consensus
from pawl.screening import agreed, screen
from pawl.votes import Votes

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
ARCHIVE = "vader_hutto_ICWSM_2014.tar.gz"
DOMAINS = {
    "tweets": "tweets",
    "movie": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "nytimes": "nytEditorialSnippets",
}
PAGE = 30
HIGHEST = 4
HOSTILE = 0.2
SEEDS = 3
BUDGET_POINTS = 2.0
VOTES, RATERS, ITEMS = 1_000_000, 10_000, 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """Ratings with the index of their item and of their rater, shape (ratings,) each."""

    items: Codes
    raters: Codes
    scores: Floats

    def means(self, is_counted: NDArray[np.bool_] | None = None) -> Floats:
        """Each item's plain mean, shape (items,)."""
        weights = np.ones(self.scores.size) if is_counted is None else is_counted.astype(float)
        totals = np.bincount(self.items, weights=weights * self.scores)
        return totals / np.bincount(self.items, weights=weights)

    def told(self, scores: Floats) -> Votes:
        """As votes, with other scores."""
        names = [[str(number) for number in range(count)] for count in (scores.size, *self.sizes)]
        nowhen = np.full(scores.size, np.nan)
        return Votes("score", names[0], self.raters, names[2], self.items, names[1], scores, [], nowhen)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many items and raters."""
        return int(self.items.max()) + 1, int(self.raters.max()) + 1


@dataclass(frozen=True, slots=True)
class Loss:
    """A line of the table, means over seeds: points lost by ours, by the mean, by ours of honest raters alone.

    `wrong_sign` and `mean_wrong_sign` are shares of items whose sign is not that of the published mean, in percent;
    `caught` and `accused` the shares of hostile and of honest raters with votes in quarantine, in percent.
    """

    domain: str
    attack: str
    lost: float
    mean_lost: float
    oracle_lost: float
    wrong_sign: float
    mean_wrong_sign: float
    caught: float
    accused: float


Attack = Callable[[Crowd, np.random.Generator], Floats]
ATTACKS: dict[str, Attack] = {
    "random": lambda crowd, generator: generator.integers(-HIGHEST, HIGHEST + 1, crowd.scores.size).astype(float),
    "inverted": lambda crowd, generator: -crowd.scores,
    "colluding": lambda crowd, generator: np.where(crowd.means() > 0, -HIGHEST, HIGHEST).astype(float)[crowd.items],
    "promoting": lambda crowd, generator: np.full(crowd.scores.size, float(HIGHEST)),
}


def measure(data: Path | None, quick: bool) -> Findings:
    """All of it; quick takes one seed."""
    lost, (crowds, _) = lose(data, quick), _crowds(data)
    return replace(lost, figures=[*lost.figures, *_honest(crowds), *cost()])


def lose(data: Path | None, quick: bool) -> Findings:
    """What attacks take. Without the archive, what they take of simulated raters, and why there is no more."""
    crowds, missing = _crowds(data)
    losses = [loss for name, crowd in crowds.items() for loss in attacked(name, crowd, 1 if quick else SEEDS)]
    return Findings(_summary(losses), [table(losses), *missing], {"trust": [asdict(each) for each in losses]})


def archived(data: Path | None) -> dict[str, Crowd]:
    """The archive's crowds by domain; Unavailable without it."""
    if data is None:
        raise Unavailable(f"real ratings: want --data DIR, a folder with {ARCHIVE}")
    if not (data / ARCHIVE).is_file():
        raise Unavailable(f"real ratings: no {ARCHIVE} in {data}")
    with tarfile.open(data / ARCHIVE) as archive:
        return {domain: _crowd(list(_ratings(archive, stem))) for domain, stem in DOMAINS.items()}


def simulated(pages: int = 100, people: int = 20) -> Crowd:
    """Raters of a page each, with biases and deviations of their own, who give whole scores on the same scale."""
    generator = np.random.default_rng(1)
    items = np.arange(pages * PAGE).repeat(people)
    raters = items // PAGE * people + np.tile(np.arange(people), pages * PAGE)
    bias = generator.normal(0, 0.4, pages * people)
    deviation = 0.9 * np.exp(generator.normal(0, 0.3, pages * people))
    noise = bias[raters] + deviation[raters] * generator.normal(size=raters.size)
    true = generator.normal(0, 1.7, pages * PAGE)
    return Crowd(items, raters, np.clip(np.rint(true[items] + noise), -HIGHEST, HIGHEST))


def attacked(domain: str, crowd: Crowd, seeds: int) -> Iterator[Loss]:
    """A line for each attack."""
    clean = screen(crowd.told(crowd.scores)).consensus
    for name, attack in ATTACKS.items():
        lines = [_losses(crowd, clean, attack, np.random.default_rng(seed)) for seed in range(seeds)]
        yield Loss(domain, name, *np.mean(lines, axis=0).round(4).tolist())


def cost() -> list[Figure]:
    """Seconds and memory of a million votes of many raters, a fifth of whom guess or say the opposite."""
    votes, generator = _many(), np.random.default_rng(3)
    true, deviation = generator.normal(0, 1.5, ITEMS), generator.choice([0.8, 3.0], RATERS, p=[1 - HOSTILE, HOSTILE])
    seen = true[votes.items] + deviation[votes.raters] * generator.normal(size=len(votes))
    scores = np.clip(np.rint(seen), -HIGHEST, HIGHEST)
    rivals = (votes.items + generator.integers(1, ITEMS, len(votes))) % ITEMS
    is_better = seen > true[rivals] + deviation[votes.raters] * generator.normal(size=len(votes))
    ends = np.where(is_better, votes.items, rivals), np.where(is_better, rivals, votes.items)
    no_ties = np.zeros(len(votes), bool)
    took = _seconds(lambda: screen(votes))
    scoring = _seconds(lambda: score_consensus(votes.items, votes.raters, scores, (ITEMS, RATERS)))
    pairing = _seconds(lambda: pair_consensus(*ends, votes.raters, no_ties, (ITEMS, RATERS)))
    tracemalloc.start()
    screen(votes)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    size = f"of {len(votes):,} votes of {RATERS:,} raters"
    return [
        Figure("screen_million_s", took, "s", f"to screen labels, {size}"),
        Figure("screen_million_peak_mb", peak, "MB", "that it takes beside the votes themselves"),
        Figure("scores_million_s", scoring, "s", f"to fit scores, {size}"),
        Figure("pairs_million_s", pairing, "s", f"to fit pairs of {ITEMS:,} answers, {size}"),
    ]


def table(losses: list[Loss]) -> str:
    """The lines as text."""
    heads = ("lost", "by mean", "oracle", "sign %", "by mean", "caught %", "accused %")
    lines = [f"  {'crowd':<12}{'attack':<12}" + "".join(f"{head:>10}" for head in heads)]
    for each in losses:
        cells = list(asdict(each).values())
        lines.append(f"  {each.domain:<12}{each.attack:<12}" + "".join(f"{cell:>10.2f}" for cell in cells[2:]))
    return "\n".join(lines)


def _crowds(data: Path | None) -> tuple[dict[str, Crowd], list[str]]:
    """All crowds by name, and a line on those that are missing."""
    try:
        return {"simulated": simulated(), **archived(data)}, []
    except Unavailable as error:
        return {"simulated": simulated()}, [f"  missing: {error}"]


def _summary(losses: list[Loss]) -> list[Figure]:
    worst = max(losses, key=lambda loss: loss.lost)
    where = f"{worst.domain}, {worst.attack}"
    everywhere = f"over {len(losses)} crowds and attacks"
    return [
        Figure("consensus_lost_points", worst.lost, "points", f"at worst, {where}; 20 % hostile", BUDGET_POINTS),
        Figure("mean_lost_points", worst.mean_lost, "points", "by the plain mean there"),
        Figure("consensus_lost_on_average", float(np.mean([each.lost for each in losses])), "points", everywhere),
        Figure(
            "mean_lost_on_average", float(np.mean([each.mean_lost for each in losses])), "points", "by the plain mean"
        ),
    ]


def _honest(crowds: dict[str, Crowd]) -> list[Figure]:
    """What is quarantined where nobody attacks, and how far our consensus then lies from the mean."""
    accused, raters, apart = 0, 0, list[float]()
    for crowd in crowds.values():
        screened = screen(crowd.told(crowd.scores))
        accused += np.unique(crowd.raters[~screened.is_kept]).size
        raters += crowd.sizes[1]
        apart.append(_points(screened.consensus, crowd.means()))
    return [
        Figure("honest_accused_rate", accused / raters, "", f"of {raters:,} raters, none turned hostile", 0.01),
        Figure(
            "clean_consensus_from_mean", max(apart), "points", "ours from the plain mean where nobody attacks, at most"
        ),
    ]


def _losses(crowd: Crowd, clean: Floats, attack: Attack, generator: np.random.Generator) -> tuple[float, ...]:
    size, people = crowd.sizes
    is_hostile = generator.permutation(people) < round(HOSTILE * people)
    hostile = is_hostile[crowd.raters]
    scores = np.where(hostile, attack(crowd, generator), crowd.scores)
    votes, mean = crowd.told(scores), crowd.means()
    screened, attacked_mean = screen(votes), Crowd(crowd.items, crowd.raters, scores).means()
    oracle, _ = agreed(votes, ~hostile, np.full(size, np.nan))
    accused = np.unique(crowd.raters[~screened.is_kept])
    return (
        _points(screened.consensus, clean),
        _points(attacked_mean, mean),
        _points(oracle, clean),
        100 * float(np.mean(np.sign(screened.consensus) != np.sign(mean))),
        100 * float(np.mean(np.sign(attacked_mean) != np.sign(mean))),
        100 * float(is_hostile[accused].sum() / is_hostile.sum()),
        100 * float((~is_hostile[accused]).sum() / (~is_hostile).sum()),
    )


def _points(scores: Floats, others: Floats) -> float:
    """The mean distance of two consensuses in percent of the scale; items that have lost all votes are left out."""
    return 100 * float(np.nanmean(np.abs(scores - others))) / (2 * HIGHEST)


def _ratings(archive: tarfile.TarFile, stem: str) -> Iterator[list[int]]:
    member = next((each for each in archive if each.name.endswith(f"/{stem}_anonDataRatings.txt")), None)
    told = None if member is None else archive.extractfile(member)
    if told is None:
        raise Unavailable(f"real ratings: no {stem}_anonDataRatings.txt in {ARCHIVE}")
    for line in told.read().decode("utf-8-sig").splitlines():
        yield json.loads(line.split("\t")[3])


def _crowd(rows: list[list[int]]) -> Crowd:
    """Ratings of items in the archive's order; a rater is a position in a page."""
    lengths = [len(row) for row in rows]
    items = np.arange(len(rows)).repeat(lengths)
    positions = np.concatenate([np.arange(length) for length in lengths])
    _, raters = np.unique(items // PAGE * max(lengths) + positions, return_inverse=True)
    return Crowd(items, raters, np.concatenate([np.array(row, float) for row in rows]))


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _many() -> Votes:
    generator = np.random.default_rng(2)
    items, raters = generator.integers(0, ITEMS, VOTES), generator.integers(0, RATERS, VOTES)
    _, once = np.unique(raters * ITEMS + items, return_index=True)
    items, raters = items[once], raters[once]
    right = generator.beta(8, 2, RATERS)
    right[: round(HOSTILE * RATERS)] = generator.choice([0.5, 0.1], round(HOSTILE * RATERS))
    true = generator.integers(0, 2, ITEMS)[items]
    values = np.where(generator.random(items.size) < right[raters], true, 1 - true).astype(float)
    names = [[f"{number:07d}" for number in range(count)] for count in (items.size, RATERS, ITEMS)]
    at = generator.uniform(0, 1e6, items.size)
    return Votes("label", names[0], raters, names[1], items, names[2], values, [False, True], at)
