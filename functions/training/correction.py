"""Corrections of a classifier's logits: their fit to labelled rows, and how a served graph takes one.

One scale multiplies all logits (temperature scaling: Guo, Pleiss, Sun, Weinberger 2017), a bias is added to each label
(which moves the labels' priors: Saerens, Latinne, Decaestecker 2002; both: Alexandari, Kundaje, Shrikumar 2020).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pawl.errors import InvalidBundle
from training.calibration import COLDEST, HOTTEST, softmax

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

PROBABILITIES = "probabilities"
SCALE, BIAS = "recalibrated.scale", "recalibrated.bias"
_ROUNDS = 100
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Correction:
    """What is done to logits before the softmax: one scale, then a bias for each label, shape (labels,)."""

    scale: float
    bias: Floats

    def apply(self, logits: Floats) -> Floats:
        """Corrected logits, (rows, labels) both."""
        return logits * self.scale + self.bias

    def after(self, first: "Correction") -> "Correction":
        """Both as one, `first` done first."""
        return Correction(self.scale * first.scale, self.scale * first.bias + self.bias)


@dataclass(frozen=True, slots=True)
class Shape:
    """Which parts of a correction are fitted; the others stay as they change nothing."""

    name: str
    has_scale: bool
    has_bias: bool


SHAPES = (  # the simplest first
    Shape("confidences", has_scale=True, has_bias=False),
    Shape("thresholds", has_scale=False, has_bias=True),
    Shape("confidences and thresholds", has_scale=True, has_bias=True),
)


def fit(logits: Floats, labels: Indices, shape: Shape, deviation: float) -> Correction:
    """The most likely correction of logits (rows, labels) given the true labels (rows,) and the prior.

    The penalized loss is convex in scale and biases together, so Newton's steps, halved until they help, find its one
    minimum. The biases of all labels come to sum to 0.
    """
    count = logits.shape[1]
    free = np.flatnonzero([shape.has_scale, *[shape.has_bias] * count])
    neutral = np.array([1.0, *[0.0] * count])
    found, loss = neutral, _penalized(neutral, neutral, logits, labels, deviation)
    for _ in range(_ROUNDS):
        gradient, curvature = _slopes(found, neutral, logits, labels, deviation)
        step = np.zeros_like(found)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        tried = [found - step / 2**halvings for halvings in range(30)]
        better = ((each, _penalized(each, neutral, logits, labels, deviation)) for each in tried)
        found, least = next((pair for pair in better if pair[1] < loss), (found, loss))
        if loss - least < _TOLERANCE:
            break
        loss = least
    return Correction(float(found[0]), found[1:])


def _penalized(found: Floats, neutral: Floats, logits: Floats, labels: Indices, deviation: float) -> float:
    """Log loss of all rows and the prior's; infinite where the scale is beyond what a temperature may be."""
    if not 1 / HOTTEST <= found[0] <= 1 / COLDEST:
        return np.inf
    losses = row_losses(Correction(float(found[0]), found[1:]).apply(logits), labels)
    return float(losses.sum() + np.square((found - neutral) / deviation).sum() / 2)


def _slopes(found: Floats, neutral: Floats, logits: Floats, labels: Indices, deviation: float) -> tuple[Floats, Floats]:
    """Gradient (1 + labels,) and Hessian of `_penalized`; the scale comes first."""
    chances = softmax(logits * found[0] + found[1:])  # (rows, labels)
    off = chances - np.eye(logits.shape[1])[labels]
    tilted = chances * (logits - (chances * logits).sum(1, keepdims=True))  # a logit's part of the spread of its row
    gradient = np.array([(off * logits).sum(), *off.sum(0)]) + (found - neutral) / deviation**2
    curvature = np.diag(np.full(found.size, 1 / deviation**2))
    curvature[0, 0] += (tilted * logits).sum()
    curvature[0, 1:] = curvature[1:, 0] = tilted.sum(0)
    curvature[1:, 1:] += np.diag(chances.sum(0)) - chances.T @ chances
    return gradient, curvature


def row_losses(logits: Floats, labels: Indices) -> Floats:
    """Log loss of each row, (rows,)."""
    highest = logits.max(1)
    return np.log(np.exp(logits - highest[:, None]).sum(1)) + highest - logits[np.arange(labels.size), labels]


def correct(live: Path, correction: Correction, path: Path) -> Correction:
    """Write the live graph to `path` with a correction before its softmax; all corrections so far, as one.

    Weights that lie in another file stay there, and that file is not touched. A graph that was corrected before gets
    new numbers and no new nodes. InvalidBundle when the probabilities come from no softmax.
    """
    model = onnx.load(live, load_external_data=False)
    last = next((node for node in model.graph.node if PROBABILITIES in node.output), None)
    if last is None or last.op_type != "Softmax":
        raise InvalidBundle(
            f"{live.name}: {PROBABILITIES} come from {last.op_type if last else 'nowhere'}, not a Softmax"
        )
    known = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in (SCALE, BIAS)}
    if known:
        scale, bias = (numpy_helper.to_array(known[name]).astype(np.float64) for name in (SCALE, BIAS))
        correction = correction.after(Correction(float(scale), bias))
        for tensor in known.values():
            model.graph.initializer.remove(tensor)
    else:
        _insert(model.graph, last)
    for name, value in ((SCALE, correction.scale), (BIAS, correction.bias)):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    path.write_bytes(model.SerializeToString())
    return correction


def _insert(graph: onnx.GraphProto, softmax_node: onnx.NodeProto) -> None:
    """Put the nodes of a correction between a softmax and what it was given."""
    scaled, shifted = f"{SCALE}.logits", f"{BIAS}.logits"
    place = list(graph.node).index(softmax_node)
    graph.node.insert(place, helper.make_node("Mul", [softmax_node.input[0], SCALE], [scaled], name=scaled))
    graph.node.insert(place + 1, helper.make_node("Add", [scaled, BIAS], [shifted], name=shifted))
    softmax_node.input[0] = shifted
