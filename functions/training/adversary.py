"""The attack that sees everything: projected gradient descent, where a model comes as a torch module with gradients.

A release can only ask a graph, as its clients can (`pawl.attack`), and sees less than this attacker does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pawl.tensors import TensorModel
from training.tables import Rows

REACH = 0.1
"""How far each number may be moved, in standard deviations of its column."""
STEPS = 20
SEED = 7
JUDGED = 500
"""Most rows that are attacked."""


def projected_gradient(
    module: nn.Module, inputs: Tensor, labels: Tensor, reach: Tensor, steps: int = STEPS, seed: int = SEED
) -> Tensor:
    """Inputs moved to where their true labels' loss is highest, each value by `reach` at most (Madry et al. 2018).

    It starts at random within reach and goes `steps` signed steps; each row keeps the worst place that it came by.
    """
    chance = torch.Generator().manual_seed(seed)
    moved = inputs + (2 * torch.rand(inputs.shape, generator=chance) - 1) * reach
    worst, highest = inputs.clone(), _losses(module, inputs, labels).detach()
    for _ in range(steps):
        moved = moved.detach().requires_grad_(True)
        losses = _losses(module, moved, labels)
        (slope,) = torch.autograd.grad(losses.sum(), moved)
        is_worse = losses.detach() > highest
        worst[is_worse], highest[is_worse] = moved.detach()[is_worse], losses.detach()[is_worse]
        step = moved.detach() + 2.5 / steps * reach * slope.sign()
        moved = torch.minimum(torch.maximum(step, inputs - reach), inputs + reach)
    is_worse = _losses(module, moved, labels).detach() > highest
    worst[is_worse] = moved.detach()[is_worse]
    return worst


def under_attack(module: nn.Module | None, model: TensorModel, rows: Rows) -> dict[str, dict[str, Any]]:
    """Accuracy of the served graph on rows as they are and moved along the module's gradients, by the attack's name.

    Empty where there is nothing to attack: no gradients, no classes as true answers, no single input of real numbers.
    """
    judged = rows.of(slice(0, JUDGED))
    names = list(judged.feed)
    if module is None or judged.labels is None or judged.labels.dtype.kind not in "iu" or len(names) != 1:
        return {}
    values, truth = judged.feed[names[0]], judged.labels.astype(np.int64)
    if values.dtype.kind != "f" or not _gives_scores(module, torch.from_numpy(values[:1]), int(truth.max())):
        return {}
    reach = torch.from_numpy((REACH * values.std(axis=0)).astype(values.dtype))
    moved = projected_gradient(module, torch.from_numpy(values), torch.from_numpy(truth), reach)
    clean, attacked = (_accuracy(model, {names[0]: each}, truth) for each in (values, moved.numpy()))
    return {f"projected gradient, {REACH:g} deviations": {"rows": len(truth), "before": clean, "accuracy": attacked}}


def _gives_scores(module: nn.Module, inputs: Tensor, highest: int) -> bool:
    """Whether the module gives a score for each label, up to the highest."""
    with torch.no_grad():
        scores = module(inputs)
    return isinstance(scores, Tensor) and scores.ndim == 2 and scores.shape[1] > highest


def _losses(module: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each row, taking the module's output for scores, shape (rows, labels)."""
    return nn.functional.cross_entropy(module(inputs), labels, reduction="none")


def _accuracy(model: TensorModel, feed: Mapping[str, Any], truth: np.ndarray) -> float:
    scores = np.asarray(next(iter(model.predict(feed).outputs.values())))
    return round(float((scores.argmax(-1) == truth).mean()), 4)
