"""What a pruned encoder lost, won back: for some passes it learns to embed texts as the whole one does.

No label is needed: what is learned is the teacher's embedding (distillation: Hinton, Vinyals, Dean 2015), which head
and directions, that stay as they are, were made for.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.classifier import pad
from training.prune import apply_masks, layers_of
from training.smoothing import Network


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long and how fast the pruned network learns."""

    epochs: int = 3
    rate: float = 2e-4
    """Highest learning rate; it falls in a line to nothing."""
    batch_rows: int = 16
    seed: int = 7


def recover(
    pruned: Network,
    teacher: Network,
    ids: Sequence[list[int]],
    how: Recovery,
    masks: Sequence[tuple[nn.Linear, Tensor]] = (),
) -> float:
    """Tune the layers of `pruned` in place until its embeddings of token id rows are like the teacher's.

    Both are on the CPU. Weights that `masks` made zero stay so. Returns the last pass' error, as a share of the
    variance of the teacher's embeddings.
    """
    order = sorted(range(len(ids)), key=lambda row: (len(ids[row]), row))
    batches = [order[start : start + how.batch_rows] for start in range(0, len(order), how.batch_rows)]
    inputs = [pad([ids[row] for row in batch], torch.device("cpu")) for batch in batches]
    with torch.no_grad():
        wanted = [teacher.embed(*each) for each in inputs]
    variance = torch.cat(wanted).var(0).mean()
    learning = list(layers_of(pruned).requires_grad_(True).parameters())
    learner = torch.optim.AdamW(learning, lr=how.rate, weight_decay=0.0)
    steps = how.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(learner, lambda step: 1 - step / max(1, steps))
    shuffle = random.Random(how.seed)
    error = 0.0
    for _ in range(how.epochs):
        places = list(range(len(batches)))
        shuffle.shuffle(places)
        error = 0.0
        for place in places:
            loss = (pruned.embed(*inputs[place]) - wanted[place]).square().mean() / variance
            learner.zero_grad()
            loss.backward()
            learner.step()
            schedule.step()
            apply_masks(masks)
            error += loss.item() * len(batches[place]) / len(ids)
    layers_of(pruned).requires_grad_(False)
    return error
