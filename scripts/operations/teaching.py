"""`scripts/pawl rows`: what people said of a generator's answers, for whoever trains it by TRL somewhere else.

Only what a run of the loop would learn from is told: `train`, less the rows of whoever was erased since it was frozen.
"""

import json

from operations.stack import OperationError, Stack
from pawl.datasets import Datasets
from pawl.pairset import judge_of
from pawl.tombstones import Tombstones
from pawl.trl import trl_rows
from retrain.inheritance import left_by


def lines_for(stack: Stack, model: str, trainer: str, digest: str | None = None) -> str:
    """JSON lines for a trainer, from the dataset that `digest` names or that the newest run learned from.

    OperationError when the dataset is of another model, or there is none.
    """
    dataset = Datasets(stack.bucket).load_pairs(digest or _newest(stack, model))
    if dataset.model != model:
        raise OperationError(
            f"dataset {dataset.digest} is of {dataset.model}", f"scripts/pawl rows {dataset.model} ..."
        )
    splits, _ = left_by(dataset, Tombstones.of(stack.bucket))
    rows = trl_rows(splits.get("train", []), trainer)
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _newest(stack: Stack, model: str) -> str:
    """The dataset of the newest run of the model or of its reward model."""
    runs = [run for run in stack.registry.runs() if run["model"] in (model, judge_of(model))]
    if not runs:
        raise OperationError(
            f"nothing was ever frozen for {model}", f"scripts/pawl retrain {model} freezes what there is"
        )
    return max(runs, key=lambda run: int(run["created_ms"]))["dataset"]
