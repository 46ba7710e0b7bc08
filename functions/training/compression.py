"""A trained classifier as small as its budget asks for: one path from torch to the served graph for every candidate.

    trim what is never looked up -> prune, recover -> smooth, trace, fuse -> store the weights -> optimize

Those candidates that take longest to make come last. Quality is accuracy on rows that were not learned from; the
divergence from the float model's probabilities on the same rows decides among those that keep it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from pawl.errors import UnsupportedRequest
from pawl.model import open_session
from training.classifier import Classifier
from training.export import GRAPH, OUTPUTS, SAMPLE, WEIGHTS, Exported, described, feeds, write_floats, write_served
from training.products import Feed
from training.prune import NOTHING, Importance, Pruning, can_prune, importance, masks_of, prune
from training.recovery import Recovery, recover
from training.search import Budget, Judgement, Point, Trial, choose, place_of_chosen, search
from training.trimming import trim


@dataclass(frozen=True, slots=True)
class Plan:
    """A candidate: what is pruned, and how the weights that are left are stored (`training.quantize`)."""

    name: str
    way: str
    pruning: Pruning = NOTHING


PLANS = (
    Plan("float", "float"),
    Plan("int8", "int8"),
    Plan("int4 blocks", "int4"),
    Plan("int8, an eighth of the neurons pruned", "int8", Pruning(neurons=1 / 8)),
    Plan("int8, a quarter of the neurons pruned", "int8", Pruning(neurons=1 / 4)),
)
"""What a training tries."""
THOROUGH = (
    *PLANS,
    Plan("static int8", "static"),
    Plan("int4 and 8-bit blocks by sensitivity", "mixed"),
    Plan("int8, half of the neurons pruned", "int8", Pruning(neurons=1 / 2)),
    Plan("int8, a quarter of the heads pruned", "int8", Pruning(heads=1 / 4)),
    Plan("int8, a layer pruned", "int8", Pruning(layers=1)),
    Plan("int8, two of each four weights zero", "int8", Pruning(is_two_of_four=True)),
    Plan("int8, half of the weights zero", "int8", Pruning(zeros=1 / 2)),
)
"""What else there is: for a person who looks for a smaller model."""
FEW, ALL = "few", "all"


@dataclass(frozen=True, slots=True)
class Effort:
    """What is tried, and for how long further candidates are begun."""

    plans: Sequence[Plan] = PLANS
    limit_s: float = 30.0

    @classmethod
    def named(cls, name: str) -> "Effort":
        """The effort called `few` or `all`; UnsupportedRequest for any other."""
        if name not in (FEW, ALL):
            raise UnsupportedRequest(f"candidates {name!r}: want {FEW} or {ALL}")
        return cls() if name == FEW else cls(THOROUGH, 1800.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """Token id rows to learn from, and others, with their label indices, to be judged by."""

    learned: list[list[int]]
    learned_labels: Tensor
    judged: list[list[int]]
    judged_labels: Tensor


@dataclass(frozen=True, slots=True)
class Compressed:
    """The chosen export, and the points of all that were tried."""

    exported: Exported
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search has tried: a point, and a folder with the served graph, for each."""

    points: list[Point]
    folders: list[Path]
    tokenizer: Tokenizer
    """Of all of them: it numbers its tokens otherwise than the trained network's."""
    exported: Exported


USUAL = Effort()


class Candidates:
    """Makes candidates of one classifier; what two of them share, it makes once."""

    def __init__(self, classifier: Classifier, sample: Sample, scratch: Path) -> None:
        self._classifier = classifier
        self._sample = sample
        self._scratch = scratch
        self._networks: dict[Pruning, Classifier] = {NOTHING: classifier}
        self._floats: dict[Pruning, tuple[Path, float]] = {}
        self._worth: Importance | None = None

    def floats(self, pruning: Pruning) -> tuple[Path, float]:
        """The float graph of a pruning, and how far it is off from torch."""
        if pruning not in self._floats:
            path = self._scratch / f"floats-{len(self._floats)}.onnx"
            self._floats[pruning] = path, write_floats(self.network(pruning), self._sample.learned, path)
        return self._floats[pruning]

    def write(self, plan: Plan, folder: Path) -> int:
        """Write a candidate's served graph into a folder; its bytes."""
        return write_served(self.floats(plan.pruning)[0], self._sample.learned, folder, plan.way)

    def network(self, pruning: Pruning) -> Classifier:
        """The classifier with something pruned and what that lost won back."""
        if pruning not in self._networks:
            rows = self._sample.learned
            self._worth = self._worth or importance(self._classifier, rows[:SAMPLE], self._loss)
            pruned = prune(self._classifier, pruning, self._worth)
            recover(pruned, self._classifier, rows, Recovery(), masks_of(pruned, pruning))
            self._networks[pruning] = pruned.requires_grad_(False)
        return self._networks[pruning]

    def _loss(self, ids: Tensor, mask: Tensor, row: int) -> Tensor:
        logits = self._classifier.head(self._classifier.embed(ids, mask))
        return nn.functional.cross_entropy(logits, self._sample.learned_labels[[row]])


def compress(
    classifier: Classifier,
    tokenizer: Tokenizer,
    sample: Sample,
    folder: Path,
    seconds: Callable[[], float],
    effort: Effort = USUAL,
    budget: Budget | None = None,
) -> Compressed:
    """Write the served graph of `classifier` that fits the budget best, and its tokenizer, into `folder`.

    The classifier is on the CPU and in evaluation mode, and stays as it is. InvalidBundle when a float graph disagrees
    with torch.
    """
    with TemporaryDirectory() as scratch:
        explored = explore(classifier, tokenizer, sample, Path(scratch), seconds, effort, budget)
        for name in (GRAPH, WEIGHTS):
            copyfile(explored.folders[place_of_chosen(explored.points)] / name, folder / name)
    explored.tokenizer.save(str(folder / "tokenizer.json"))
    return Compressed(explored.exported, explored.points)


def explore(
    classifier: Classifier,
    tokenizer: Tokenizer,
    sample: Sample,
    scratch: Path,
    seconds: Callable[[], float],
    effort: Effort = USUAL,
    budget: Budget | None = None,
) -> Explored:
    """Try what `compress` chooses from, and leave every candidate under `scratch`."""
    longest = (
        tokenizer.truncation["max_length"]
        if tokenizer.truncation
        else classifier.encoder.config.max_position_embeddings
    )
    plans = [plan for plan in effort.plans if plan.pruning == NOTHING or can_prune(classifier)]
    trimmed, kept = trim(classifier, tokenizer, longest)
    learned, judged = kept.renumber(sample.learned), kept.renumber(sample.judged)
    candidates = Candidates(trimmed, Sample(learned, sample.learned_labels, judged, sample.judged_labels), scratch)
    trials = [_trial(candidates, plan, 4 * kept.values) for plan in plans]
    pick = partial(choose, budget=budget or usual_budget(len(judged)))
    judge = _judge(trimmed, judged, sample.judged_labels)
    points, folders = search(trials, judge, _request(judged), pick, effort.limit_s, scratch, seconds)
    place = place_of_chosen(points)
    floats, difference = candidates.floats(plans[place].pruning)
    about = described(floats, plans[place].way) | {"candidate": plans[place].name}
    exported = Exported(points[0].bytes, points[place].bytes, difference, about)
    return Explored(points, folders, kept.tokenizer, exported)


def usual_budget(rows: int) -> Budget:
    """A quarter of the bytes, half of the time, and half a point of quality, or one of the rows that it is judged by.

    Blocks of 4 bits are smaller than int8 but no quicker than two thirds of the float model: the gate on latency, which
    compares with a live version in int8, would refuse them.
    """
    return Budget(lost_points=max(0.5, 100 / rows), latency_share=0.5)


def _trial(candidates: Candidates, plan: Plan, trimmed_bytes: int) -> Trial:
    """The float model counts with what was trimmed: it is what everything else is compared with."""
    spared = trimmed_bytes if plan.way == "float" and plan.pruning == NOTHING else 0
    return Trial(plan.name, lambda folder: candidates.write(plan, folder) + spared)


def _judge(classifier: Classifier, ids: list[list[int]], labels: Tensor) -> Callable[[Path], Judgement]:
    rows = feeds(ids)
    with torch.no_grad():
        asked = [(torch.from_numpy(row["input_ids"]), torch.from_numpy(row["attention_mask"])) for row in rows]
        wanted = np.concatenate([classifier(*each)[0].double().numpy() for each in asked])

    def judge(graph: Path) -> Judgement:
        session = open_session(str(graph))
        got = np.concatenate([np.asarray(session.run(OUTPUTS[:1], dict(row))[0], np.float64) for row in rows])
        return Judgement(float((got.argmax(1) == labels.numpy()).mean()), divergence(wanted, got))

    return judge


def divergence(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """The mean over rows of the Kullback-Leibler divergence, in nats, of probabilities (rows, labels).

    >>> round(divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])), 4)
    0.1438
    """
    least = np.finfo(np.float32).tiny
    ratio = np.log(np.maximum(wanted, least)) - np.log(np.maximum(got, least))
    return max(0.0, float((wanted * ratio).sum(1).mean()))


def _request(ids: list[list[int]]) -> Feed:
    """One row of 32 tokens, or of as many as the longest row has: what the latency is measured on."""
    longest = max(ids, key=len)
    return feeds([(longest * math.ceil(32 / len(longest)))[:32]])[0]
