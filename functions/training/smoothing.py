"""Activations made easy to quantize without changing what the model computes (Xiao et al. 2023, SmoothQuant, alpha 1).

A layer's activations share one scale, so its few large channels leave the others coarse. Each channel of the input of a
feed-forward layer is divided by the largest value that sample rows bring there, and its weights are multiplied by it:
the product stays what it was. One multiplication more, and half the error of the int8 graph on the starter model.
"""

import copy
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.classifier import pad


class SmoothedLinear(nn.Module):
    """A linear layer that divides its input by `largest`, shape (inputs,), and makes up for it in its weights."""

    inverse: Tensor

    def __init__(self, linear: nn.Linear, largest: Tensor) -> None:
        super().__init__()
        self.linear = copy.deepcopy(linear)
        self.linear.weight.data *= largest
        self.register_buffer("inverse", 1 / largest)

    def forward(self, states: Tensor) -> Tensor:
        """States (rows, tokens, inputs) -> (rows, tokens, outputs)."""
        return self.linear(states * self.inverse)


class Embedding(Protocol):
    """A network around an encoder."""

    encoder: PreTrainedModel

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Runs the encoder."""
        ...


Network = TypeVar("Network", bound=Embedding)


def smooth(network: Network, ids: list[list[int]]) -> Network:
    """A copy of a network on the CPU that computes the same, its feed-forward layers smoothed on token id rows.

    Attention's own layers stay as they are: they share an input, and onnxruntime fuses them by their exact shape.
    """
    smoothed = copy.deepcopy(network)
    width = smoothed.encoder.config.intermediate_size
    wide = {
        name: part
        for name, part in smoothed.encoder.named_modules()
        if isinstance(part, nn.Linear) and width in (part.in_features, part.out_features)
    }
    for name, largest in largest_inputs(smoothed, wide, ids).items():
        parent, _, own = name.rpartition(".")
        setattr(smoothed.encoder.get_submodule(parent), own, SmoothedLinear(wide[name], largest))
    return smoothed


def largest_inputs(network: Embedding, layers: dict[str, nn.Linear], ids: list[list[int]]) -> dict[str, Tensor]:
    """The largest magnitude in each input channel of each layer, shape (inputs,); 1 where nothing but 0 was seen."""
    largest = {name: torch.zeros(layer.in_features) for name, layer in layers.items()}

    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            largest[name] = torch.maximum(largest[name], inputs[0].abs().flatten(0, -2).amax(0))

        return layers[name].register_forward_pre_hook(look)

    hooks = [watch(name) for name in layers]
    with torch.no_grad():
        for row in ids:
            network.embed(*pad([row], torch.device("cpu")))
    for hook in hooks:
        hook.remove()
    return {name: torch.where(seen > 0, seen, 1.0) for name, seen in largest.items()}
