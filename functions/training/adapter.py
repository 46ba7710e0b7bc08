"""Low-rank adapters (Hu et al. 2021): what a run learns, small enough to be kept for the next one.

A version's adapter holds everything that alignment has ever taught it, as one adapter over the pretrained base: the
ranks of parent and child are laid side by side, which is exact. So the next run needs the base and one small file, and
nothing of the served graph, whose rounded weights nobody can train on. Safetensors alone, no pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load, save
from torch import Tensor
from transformers import PreTrainedModel

from pawl.errors import InvalidBundle

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
Weights = dict[str, Tensor]


def config_of(rank: int) -> LoraConfig:
    """An adapter of all linear layers but the head, whose products are scaled by 2, with nothing dropped out."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def weights_of(model: PeftModel) -> Weights:
    """A copy of what the model's adapter holds now, in PEFT's names."""
    return {name: tensor.detach().cpu().clone() for name, tensor in get_peft_model_state_dict(model).items()}


def set_weights(model: PeftModel, weights: Mapping[str, Tensor]) -> None:
    """Put other weights of the same shapes into the model's adapter."""
    set_peft_model_state_dict(model, dict(weights))


def joined(parent: Weights | None, child: Weights, scale: float) -> Weights:
    """One adapter, scaled by 1, that does what the parent (scaled by 1) and the child (by `scale`) do in turn."""
    found: Weights = {}
    for name, tensor in child.items():
        is_second = "lora_B" in name  # (out, rank); the first is (rank, in)
        own = (scale * tensor if is_second else tensor).float()
        found[name] = own if parent is None else torch.cat([parent[name], own], dim=1 if is_second else 0)
    return found


def packed(weights: Weights) -> dict[str, bytes]:
    """The files of an adapter that is scaled by 1, as PEFT reads them."""
    first = {name: tensor for name, tensor in weights.items() if "lora_A" in name}
    rank = next(iter(first.values())).shape[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": sorted({name.split(".")[-3] for name in first}),
        "inference_mode": True,
    }
    whole = {name: tensor.contiguous() for name, tensor in weights.items()}
    return {CONFIG: (json.dumps(config, indent=1) + "\n").encode(), WEIGHTS: save(whole)}


def describe(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a manifest says of an adapter that is kept beside the bundle."""
    data = files[WEIGHTS]
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "rank": json.loads(files[CONFIG])["r"],
    }


def unpacked(files: Mapping[str, bytes], about: Mapping[str, Any]) -> Weights:
    """The weights in `files`; InvalidBundle when they are not those that the manifest describes."""
    if WEIGHTS not in files or describe(files)["sha256"] != about["sha256"]:
        raise InvalidBundle(f"{WEIGHTS} is not the adapter that the live version's manifest names")
    return load(files[WEIGHTS])


def merge(model: PreTrainedModel, weights: Weights) -> None:
    """Add an adapter that is scaled by 1 to the weights of a model, in place."""
    layers = dict(model.named_modules())
    with torch.no_grad():
        for name, first in weights.items():
            if "lora_A" in name:
                layer = layers[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")]
                second = weights[name.replace("lora_A", "lora_B")]
                weight = cast("Tensor", layer.weight)
                weight += (second @ first).to(weight)
