"""Parts of an encoder that its answers hardly need, taken out: heads, feed-forward neurons, whole layers, or weights.

Structured pruning makes the matrices smaller, and the graph faster on any machine. Every layer keeps as many heads and
neurons as every other, which the fusions and the quantization count on. Zeros among the weights (by magnitude, or two
of each four) save time on hardware that skips them, which onnxruntime on a CPU does not: they only zip better.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from training.classifier import pad
from training.smoothing import Embedding, Network

STEP = 32
"""Neurons are kept in multiples of this, the width that int8 kernels work in."""
Loss = Callable[[Tensor, Tensor, int], Tensor]
"""What a network loses on one row: of its ids and mask, (1, tokens) both, and its number."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is taken out, as shares of what there is; nothing by default."""

    neurons: float = 0.0
    """Of each layer's feed-forward neurons."""
    heads: float = 0.0
    """Of each layer's attention heads; one stays."""
    layers: int = 0
    """Whole layers, those that change their input least."""
    zeros: float = 0.0
    """Of the weights of each matrix, the smallest."""
    is_two_of_four: bool = False
    """Of each four weights of a row the two smaller ones (Mishra et al. 2021, 2:4)."""


NOTHING = Pruning()


@dataclass(frozen=True, slots=True)
class Importance:
    """How much the loss would change without a part, to first order, in the mean over rows.

    `heads` (heads,) and `neurons` (neurons,) of each layer; `layers` (layers,): 1 - cosine of its input and output.
    """

    heads: list[Tensor]
    neurons: list[Tensor]
    layers: list[float]


@dataclass(slots=True)
class _Seen:
    """What hooks hold of one row: what went into each layer's two output matrices, and how far each layer moved it."""

    contexts: list[Tensor] = field(default_factory=list[Tensor])
    activations: list[Tensor] = field(default_factory=list[Tensor])
    moved: list[float] = field(default_factory=list[float])


def layers_of(network: Embedding) -> Any:
    """The encoder's layers, first to last: a module list of what only the encoder's own family has a type for."""
    count = network.encoder.config.num_hidden_layers
    return next(part for part in network.encoder.modules() if isinstance(part, nn.ModuleList) and len(part) == count)


def can_prune(network: Embedding) -> bool:
    """Whether the layers are built as BERT's are, which is how they are taken apart here."""
    parts = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
    found = {name for layer in layers_of(network) for name, _ in layer.named_modules()}
    return found >= set(parts)


def importance(network: Embedding, ids: Sequence[list[int]], loss: Loss) -> Importance:
    """What the rows' loss says of each part: |activation x gradient|, summed over its channels and a row's tokens.

    Of heads this is Michel, Levy, Neubig 2019; of neurons Molchanov et al. 2019; of layers Men et al. 2024.
    """
    layers = layers_of(network)
    heads = [torch.zeros(network.encoder.config.num_attention_heads) for _ in layers]
    neurons = [torch.zeros(layer.output.dense.in_features) for layer in layers]
    moved = torch.zeros(len(layers))
    seen = _Seen()
    hooks = [hook for layer in layers for hook in _watch(layer, seen)]
    learnt = list(network.encoder.parameters())
    for parameter in learnt:
        parameter.requires_grad_(True)
    for number, row in enumerate(ids):
        for held in (seen.contexts, seen.activations, seen.moved):
            held.clear()
        lost = loss(*pad([row], torch.device("cpu")), number)
        gradients = torch.autograd.grad(lost, [*seen.contexts, *seen.activations])
        taylor = [(a * g).detach() for a, g in zip([*seen.contexts, *seen.activations], gradients, strict=True)]
        for i in range(len(layers)):
            by_head = taylor[i].reshape(*taylor[i].shape[:-1], len(heads[i]), -1)  # (1, tokens, heads, channels)
            heads[i] += by_head.sum((0, 1, 3)).abs()
            neurons[i] += taylor[len(layers) + i].sum((0, 1)).abs()
        moved += torch.tensor(seen.moved)
    for parameter in learnt:
        parameter.requires_grad_(False)
    for hook in hooks:
        hook.remove()
    count = max(1, len(ids))
    return Importance([each / count for each in heads], [each / count for each in neurons], (moved / count).tolist())


def prune(network: Network, pruning: Pruning, worth: Importance) -> Network:
    """A copy of `network` on the CPU with the least important parts taken out."""
    pruned = copy.deepcopy(network)
    config = pruned.encoder.config
    for layer, heads, neurons in zip(layers_of(pruned), worth.heads, worth.neurons, strict=True):
        if pruning.heads:
            _keep_heads(layer, _best(heads, max(1, round(len(heads) * (1 - pruning.heads)))))
        if pruning.neurons:
            most = len(neurons) * (1 - pruning.neurons)
            _keep_neurons(layer, _best(neurons, max(1, round(most / STEP) * STEP if most >= STEP else round(most))))
    if pruning.layers:
        _drop_layers(pruned, pruning.layers, worth.layers)
    first = layers_of(pruned)[0]
    config.attention_width = first.attention.self.query.out_features
    config.num_attention_heads = config.attention_width // first.attention.self.attention_head_size
    config.intermediate_size = first.output.dense.in_features
    apply_masks(masks_of(pruned, pruning))
    return pruned


def masks_of(network: Embedding, pruning: Pruning) -> list[tuple[nn.Linear, Tensor]]:
    """Which weights of the layers' matrices stay, for a pruning that makes zeros: 1 or 0 each."""
    if not pruning.zeros and not pruning.is_two_of_four:
        return []
    matrices = [part for part in layers_of(network).modules() if isinstance(part, nn.Linear)]

    def choose(weight: Tensor) -> Tensor:
        return two_of_four(weight) if pruning.is_two_of_four else largest(weight, 1 - pruning.zeros)

    return [(matrix, choose(matrix.weight.detach())) for matrix in matrices]


def apply_masks(masks: Sequence[tuple[nn.Linear, Tensor]]) -> None:
    """Make the weights that do not stay zero."""
    with torch.no_grad():
        for matrix, mask in masks:
            matrix.weight.mul_(mask)


def two_of_four(weight: Tensor) -> Tensor:
    """A mask of the two largest magnitudes of each four neighbours of a row; a rest of less than four stays.

    >>> two_of_four(torch.tensor([[1.0, -3.0, 2.0, 0.5, 9.0]]))
    tensor([[0., 1., 1., 0., 1.]])
    """
    mask = torch.ones_like(weight)
    whole = weight.shape[1] // 4 * 4
    fours = weight[:, :whole].abs().reshape(len(weight), -1, 4)
    kept = torch.zeros_like(fours).scatter(-1, fours.topk(2, dim=-1).indices, 1.0)
    mask[:, :whole] = kept.reshape(len(weight), whole)
    return mask


def largest(weight: Tensor, share: float) -> Tensor:
    """A mask of the `share` of a matrix' weights that are largest in magnitude.

    >>> largest(torch.tensor([[1.0, -3.0], [2.0, 0.5]]), 0.5)
    tensor([[0., 1.],
            [1., 0.]])
    """
    mask = torch.zeros(weight.numel())
    mask[weight.abs().flatten().topk(round(weight.numel() * share)).indices] = 1
    return mask.reshape(weight.shape)


def _watch(layer: Any, seen: _Seen) -> "list[torch.utils.hooks.RemovableHandle]":
    def before(held: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            held.append(inputs[0])

        return look

    def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        came, went = inputs[0].detach(), (output if isinstance(output, Tensor) else output[0]).detach()
        seen.moved.append(1 - nn.functional.cosine_similarity(came, went, dim=-1).mean().item())

    return [
        layer.attention.output.dense.register_forward_pre_hook(before(seen.contexts)),
        layer.output.dense.register_forward_pre_hook(before(seen.activations)),
        layer.register_forward_hook(after),
    ]


def _best(worth: Tensor, count: int) -> Tensor:
    """The places of the `count` highest, in their order; of equals the first."""
    return torch.argsort(worth, descending=True, stable=True)[:count].sort().values


def _keep_heads(layer: Any, heads: Tensor) -> None:
    size: int = layer.attention.self.attention_head_size
    channels = (heads[:, None] * size + torch.arange(size)).flatten()
    for name in ("query", "key", "value"):
        _keep_outputs(getattr(layer.attention.self, name), channels)
    _keep_inputs(layer.attention.output.dense, channels)
    layer.attention.self.num_attention_heads = len(heads)
    layer.attention.self.all_head_size = len(channels)


def _keep_neurons(layer: Any, neurons: Tensor) -> None:
    _keep_outputs(layer.intermediate.dense, neurons)
    _keep_inputs(layer.output.dense, neurons)


def _drop_layers(network: Embedding, count: int, moved: Sequence[float]) -> None:
    layers = layers_of(network)
    dropped = sorted(range(len(layers)), key=lambda i: (moved[i], i))[: min(count, len(layers) - 1)]
    for i in sorted(dropped, reverse=True):
        del layers[i]
    network.encoder.config.num_hidden_layers = len(layers)


def _keep_outputs(linear: nn.Linear, kept: Tensor) -> None:
    linear.weight = nn.Parameter(linear.weight.detach()[kept].clone(), requires_grad=False)
    linear.bias = nn.Parameter(linear.bias.detach()[kept].clone(), requires_grad=False)
    linear.out_features = len(kept)


def _keep_inputs(linear: nn.Linear, kept: Tensor) -> None:
    linear.weight = nn.Parameter(linear.weight.detach()[:, kept].clone(), requires_grad=False)
    linear.in_features = len(kept)
