"""Compared answers as trl's reward trainer takes them, and the loss that it does not have: weighted, free of length.

The weight of a row is what its raters are worth. A margin is by how much the better answer must win (Touvron et al.
2023, Llama 2). Length is kept out of the reward by a penalty on its correlation with length (Chen et al. 2024, ODIN).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from pawl.pairset import MOST_MARGIN, PairRow
from pawl.reward import dialogue, ids_of
from training.judge import Base

_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Pairs:
    """Comparisons as token ids: one entry a pair in each list; `gaps` are the answers' logarithms of tokens, apart."""

    chosen: list[list[int]]
    rejected: list[list[int]]
    margins: list[float]
    weights: list[float]
    gaps: list[float]

    def dataset(self) -> Dataset:
        """The columns that the collator below reads."""
        return Dataset.from_dict(
            {
                "chosen_ids": self.chosen,
                "rejected_ids": self.rejected,
                "margin": self.margins,
                "weight": self.weights,
                "gap": self.gaps,
            }
        )


def encode(rows: Sequence[PairRow], base: Base, max_tokens: int) -> Pairs:
    """Tokenize rows, cut from the left at `max_tokens`."""
    pairs = Pairs([], [], [], [], [])
    for row in rows:
        prompt = ids_of(base.tokenizer, dialogue(row.prompt))
        chosen, rejected = ids_of(base.tokenizer, row.chosen), ids_of(base.tokenizer, row.rejected)
        pairs.chosen.append(base.layout.join(prompt, chosen, max_tokens))
        pairs.rejected.append(base.layout.join(prompt, rejected, max_tokens))
        pairs.margins.append(min(row.margin or 0.0, MOST_MARGIN))  # rows of older datasets have them as they were given
        pairs.weights.append(row.weight)
        pairs.gaps.append(math.log((1 + len(chosen)) / (1 + len(rejected))))
    return pairs


def divide(rows: Sequence[PairRow], share: float, seed: int) -> tuple[list[PairRow], list[PairRow]]:
    """Rows to learn from and rows to validate on: a prompt is on one side only, the same whatever else is there."""
    learned: list[PairRow] = []
    validation: list[PairRow] = []
    for row in rows:
        is_held = random.Random(f"{seed} {dialogue(row.prompt)}").random() < share
        (validation if is_held else learned).append(row)
    return learned, validation


def preference_loss(apart: Tensor, margins: Tensor, weights: Tensor, gaps: Tensor, length_penalty: float) -> Tensor:
    """The weighted Bradley-Terry loss of rewards that lie `apart`, chosen less rejected; all of shape (pairs,).

    To it comes `length_penalty` times the squared correlation of rewards and lengths, both taken apart within pairs:
    through the origin, since a pair told the other way round must not change it.
    """
    losses = -nn.functional.logsigmoid(apart - margins)
    loss = (weights * losses).sum() / weights.sum().clamp(min=_LEAST)
    if length_penalty == 0:
        return loss
    common = (apart * gaps).sum().square() / (apart.square().sum() * gaps.square().sum()).clamp(min=_LEAST)
    return loss + length_penalty * common


@dataclass
class WeighedCollator(DataCollatorForPreference):
    """trl's collator, and each pair's weight and gap."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Ids and mask (2 pairs, tokens), the chosen first; margin, weight and gap (pairs,)."""
        batch = super().torch_call(examples)
        return batch | {name: torch.tensor([each[name] for each in examples]) for name in ("weight", "gap")}


class PreferenceTrainer(RewardTrainer):
    """trl's trainer with the loss above; tells nobody of itself, and leaves the card to the recipe."""

    length_penalty: float = 0.0

    def compute_loss(
        self, model: nn.Module, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one batch; trl's own has counted tokens, accuracy and margins by then."""
        told = {name: inputs[name] for name in ("margin", "weight", "gap")}
        own = {name: value for name, value in inputs.items() if name not in told}
        outputs: Any = super().compute_loss(model, own, return_outputs=True)[1]
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        loss = preference_loss(chosen - rejected, told["margin"], told["weight"], told["gap"], self.length_penalty)
        return (loss, outputs) if return_outputs else loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: the card is written once, from what was measured."""

    def _send_telemetry(self) -> None:
        """Nothing: a training is nobody else's business."""


def processing_of(base: Base) -> PreTrainedTokenizerFast:
    """The tokenizer as trl wants it, for its padding alone: rows come tokenized."""
    return PreTrainedTokenizerFast(tokenizer_object=base.tokenizer, pad_token=base.pad_token, eos_token=base.end_token)
