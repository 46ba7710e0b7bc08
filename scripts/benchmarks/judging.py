"""How often a reward model agrees with people on pairs that it has not seen, and what lies even with that.

Folds are cut by prompt. In each, the recipe's own training learns from the other folds, a tenth of their prompts held
back for the temperature; nothing is chosen by the fold that is judged. `length` and `words` learn from the same rows:
which of longer and shorter is chosen more often, and a logistic regression on the difference of tf-idf vectors.

Poisoned labels: each pair is judged by three of `RATERS` raters, a fifth of whom say the opposite of what the people of
the data set chose; the others say the same. A pair is learned once, by the word of its first rater, so a fifth of what
is learned is wrong. With weights, a row counts what its rater is worth, by Crowd-BT on all votes (`pawl.preferences`).
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pawl.pairset import PairRow
from pawl.preferences import pair_consensus
from pawl.reward import dialogue
from training.judge import load_base
from training.pairs import divide, encode
from training.reward import apart, fit, preference_temperature
from training.reward_knobs import Knobs
from training.verdicts import length_sign, rightness, score_pairs

Floats = NDArray[np.float64]
RATERS, VOTES, HOSTILE = 60, 3, 0.2
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one way to judge said of every pair, by rewards apart over their fold's temperature; (pairs,) each."""

    name: str
    rows: list[PairRow]
    apart: Floats
    gaps: Floats
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of pairs judged as people did."""
        return float(rightness(self.apart).mean())

    def summary(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval (bootstrap over pairs), loss, calibration and length, as JSON holds them."""
        right = rightness(self.apart)
        generator = np.random.default_rng(0)
        means = right[generator.integers(0, right.size, (RESAMPLES, right.size))].mean(1)
        low, high = np.quantile(means, [0.025, 0.975]).tolist()
        scored = score_pairs(self.rows, self.apart, self.gaps, 1.0)
        without = self.apart - length_share(self.apart, self.gaps) * self.gaps
        return {
            "name": self.name,
            **scored,
            "low": round(low, 4),
            "high": round(high, 4),
            "accuracy_without_length": round(float(rightness(without).mean()), 4),
            "seconds": round(self.seconds, 1),
        }


def length_share(rewards: Floats, gaps: Floats) -> float:
    """The slope of rewards apart in the gap of lengths, through the origin."""
    return float(rewards @ gaps) / max(float(gaps @ gaps), 1e-12)


def folds_of(rows: Sequence[PairRow], count: int, seed: int = 0) -> list[list[int]]:
    """Row indices in folds of prompts, shuffled."""
    prompts = sorted({dialogue(row.prompt) for row in rows})
    random.Random(seed).shuffle(prompts)
    fold_of = {prompt: place % count for place, prompt in enumerate(prompts)}
    folds: list[list[int]] = [[] for _ in range(count)]
    for index, row in enumerate(rows):
        folds[fold_of[dialogue(row.prompt)]].append(index)
    return folds


def judge(
    name: str,
    source: str,
    rows: Sequence[PairRow],
    folds: Sequence[Sequence[int]],
    knobs: Knobs,
    taught: Sequence[PairRow] | None = None,
) -> Judged:
    """Train once a fold and judge it. `taught` are the rows as they are learned from, where labels were poisoned."""
    began = time.perf_counter()
    taught = rows if taught is None else taught
    margins = np.zeros(len(rows))
    gaps = np.zeros(len(rows))
    for fold in folds:
        held = set(fold)
        learned = [row for index, row in enumerate(taught) if index not in held]
        margins[list(fold)], gaps[list(fold)] = _fold(source, learned, [rows[index] for index in fold], knobs)
    judged = sorted(index for fold in folds for index in fold)
    return Judged(name, [rows[index] for index in judged], margins[judged], gaps[judged], time.perf_counter() - began)


def _fold(source: str, taught: Sequence[PairRow], held: Sequence[PairRow], knobs: Knobs) -> tuple[Floats, Floats]:
    """Rewards apart over the temperature, and gaps, of the held rows."""
    torch.manual_seed(knobs.seed)
    rows, kept = divide(taught, knobs.validation_share, knobs.seed)
    with TemporaryDirectory() as scratch:
        base = load_base(source, knobs.dimensions, Path(scratch) / "base")
        learned, validation, judged = (encode(part, base, knobs.max_tokens) for part in (rows, kept, held))
        base = fit(base, learned, validation, knobs, Path(scratch) / "trained")
    temperature = preference_temperature(apart(base.judge, validation))
    return apart(base.judge, judged) / temperature, np.array(judged.gaps)


def by_length(judged: Judged, rows: Sequence[PairRow], folds: Sequence[Sequence[int]]) -> Judged:
    """What the lengths of the answers say alone, their meaning learned from the other folds."""
    gaps = dict(zip((index for index in sorted(i for fold in folds for i in fold)), judged.gaps.tolist(), strict=True))
    told = np.zeros(len(rows))
    for fold in folds:
        sign = length_sign([gap for index, gap in gaps.items() if index not in set(fold)])
        for index in fold:
            told[index] = sign * gaps[index]
    return Judged("length", judged.rows, told[sorted(gaps)], judged.gaps, 0.0)


def by_words(judged: Judged, rows: Sequence[PairRow], folds: Sequence[Sequence[int]]) -> Judged:
    """What a bag of words and pairs of words of the answers says: logistic regression on the difference of tf-idf."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    began = time.perf_counter()
    told = np.zeros(len(rows))
    for fold in folds:
        others = [row for index, row in enumerate(rows) if index not in set(fold)]
        vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        vectors.fit([text for row in others for text in (row.chosen, row.rejected)])
        apart_of = {
            name: vectors.transform([row.chosen for row in part]) - vectors.transform([row.rejected for row in part])
            for name, part in (("others", others), ("fold", [rows[index] for index in fold]))
        }
        signs = np.where(np.arange(len(others)) % 2, 1.0, -1.0)  # half of the pairs told the other way round
        line = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000)
        line.fit(apart_of["others"].multiply(signs[:, None]).tocsr(), signs > 0)
        told[list(fold)] = line.decision_function(apart_of["fold"])
    judged_rows = sorted(index for fold in folds for index in fold)
    return Judged("words", judged.rows, told[judged_rows], judged.gaps, time.perf_counter() - began)


def poisoned(rows: Sequence[PairRow], seed: int = 0) -> tuple[list[PairRow], list[PairRow]]:
    """The rows as a fifth of hostile raters tell them, and the same with what each row's rater is worth as weight."""
    generator = np.random.default_rng(seed)
    is_hostile = generator.permutation(RATERS) < round(HOSTILE * RATERS)
    raters = np.stack([generator.permutation(RATERS)[:VOTES] for _ in rows])  # (rows, votes)
    turned = is_hostile[raters]
    chosen, rejected = 2 * np.arange(len(rows))[:, None], 2 * np.arange(len(rows))[:, None] + 1
    winners, losers = np.where(turned, rejected, chosen).ravel(), np.where(turned, chosen, rejected).ravel()
    no_ties = np.zeros(winners.size, bool)
    trust = pair_consensus(winners, losers, raters.ravel(), no_ties, (2 * len(rows), RATERS)).trust
    told = [
        replace(row, chosen=row.rejected, rejected=row.chosen) if is_turned else row
        for row, is_turned in zip(rows, turned[:, 0].tolist(), strict=True)
    ]
    weighed = [replace(row, weight=float(trust[rater])) for row, rater in zip(told, raters[:, 0].tolist(), strict=True)]
    return told, weighed


def table(summaries: Sequence[dict[str, Any]], has_head: bool = True) -> str:
    """The ways to judge, a line each."""
    heads = ("accuracy", "95 % from", "to", "log loss", "ECE", "length r", "less length", "seconds")
    names = (
        *("accuracy", "low", "high", "log_loss", "expected_calibration_error", "length_correlation"),
        *("accuracy_without_length", "seconds"),
    )
    lines = [f"  {'judge':<28}" + "".join(f"{head:>12}" for head in heads)] if has_head else []
    for one in summaries:
        lines.append(f"  {one['name']:<28}" + "".join(f"{one[name]:>12.4g}" for name in names))
    return "\n".join(lines)
