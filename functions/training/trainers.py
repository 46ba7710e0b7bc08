"""TRL's trainers of preferences, with a weight for each row: what its raters are worth.

TRL's losses take no weights. A row's loss is a function of its answers' log probabilities alone, so scaling their
gradient scales the row's: the same as weighting the loss. Reported losses stay unweighted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer, KTOTrainer

from pawl.errors import InvalidDataset
from pawl.examples import Preference, grpo_rows, preference_row
from pawl.pairset import PairRow
from pawl.trl import thumbs_of

WEIGHT = "weight"


def taught(rows: Sequence[PairRow], method: str) -> list[PairRow]:
    """The rows that say something to a method: thumbs do to KTO alone."""
    return [row for row in rows if method == "kto" or not row.is_thumb]


def alike(rows: Sequence[PairRow]) -> list[PairRow]:
    """The rows whose prompts are all texts or all conversations, whichever are more: a trainer takes one kind."""
    texts = [row for row in rows if isinstance(row.prompt, str)]
    others = [row for row in rows if not isinstance(row.prompt, str)]
    return texts if len(texts) > len(others) else others


def pair_rows(rows: Sequence[PairRow]) -> Dataset:
    """Comparisons for DPO, weights of mean 1."""
    mean = sum(row.weight for row in rows) / len(rows)
    return Dataset.from_list(
        [
            {**preference_row(Preference(row.prompt, row.chosen, row.rejected)), WEIGHT: row.weight / mean}
            for row in rows
        ]
    )


def thumb_rows(rows: Sequence[PairRow]) -> Dataset:
    """Single answers for KTO, good and bad, weights of mean 1; a row that lacks one of its answers is a thumb."""
    told = [(each, row.weight) for row in rows for each in thumbs_of(row)]
    mean = sum(weight for _, weight in told) / len(told)
    return Dataset.from_list([{**row, WEIGHT: weight / mean} for row, weight in told])


def balance(thumbs: Dataset) -> dict[str, Any]:
    """KTO's weights under which all good answers together count as much as all bad ones, as its authors advise.

    InvalidDataset when there are none of a kind: nothing would say what is better.
    """
    good = sum(thumbs["label"])
    counts = (good, len(thumbs) - good)
    if not all(counts):
        raise InvalidDataset(f"{counts[0]} good answers and {counts[1]} bad ones to learn from: kto wants some of each")
    return dict(zip(("desirable_weight", "undesirable_weight"), (max(counts) / each for each in counts), strict=True))


def prompt_rows(rows: Sequence[PairRow]) -> Dataset:
    """Prompts for GRPO and RLOO, each once."""
    return Dataset.from_list(list(grpo_rows(row.prompt for row in rows)))


class _Collator:
    """Adds the rows' weights to the batch that TRL's own collator makes."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self._collator(rows)
        batch[WEIGHT] = torch.tensor([row.get(WEIGHT, 1.0) for row in rows])
        return batch


class _Weighted:
    """What both trainers need for weights; mixed in before the trainer's own class."""

    _signature_columns: list[str] | None
    data_collator: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.data_collator = _Collator(self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if self._signature_columns is not None and WEIGHT not in self._signature_columns:
            self._signature_columns.append(WEIGHT)

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool) -> Any:
        others = {name: value for name, value in inputs.items() if name != WEIGHT}
        weights: Tensor = inputs[WEIGHT]

        def weighed(**given: Any) -> Any:
            outputs = model(**given)
            outputs.log_probs = scale_gradient(outputs.log_probs, weights)
            return outputs

        return super()._compute_loss(weighed, others, return_outputs)  # type: ignore[misc]


class WeightedDPO(_Weighted, DPOTrainer):  # type: ignore[misc]
    """Direct preference optimization (Rafailov et al. 2023), its batch the chosen answers and then the rejected."""


class WeightedKTO(_Weighted, KTOTrainer):  # type: ignore[misc]
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024): single answers, good and bad."""


def scale_gradient(values: Tensor, weights: Tensor) -> Tensor:
    """`values` (k * rows, ...) as they are, whose gradient is each row's times its weight, (rows,)."""
    repeated = weights.to(values).repeat(len(values) // len(weights))
    factors = repeated.reshape(-1, *[1] * (values.dim() - 1))
    return values.detach() + factors * (values - values.detach())
