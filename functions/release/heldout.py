"""The comparisons that nothing has learned from: what a generator and its reward model are judged by."""

from collections.abc import Sequence

from pawl.bucket import Bucket
from pawl.bundle import Manifest
from pawl.datasets import Datasets
from pawl.examples import Prompt
from pawl.pairset import PairDataset, PairRow
from release.gate import Gate
from release.policy import GatePolicy


def comparisons(bucket: Bucket, candidate: Manifest) -> PairDataset:
    """The dataset that a candidate was made of, its digests checked."""
    return Datasets(bucket).load_pairs(candidate.lineage.dataset)


def held_rows(dataset: PairDataset, policy: GatePolicy) -> list[PairRow]:
    """Held-out comparisons that raters are worth something for, the newest first, so many at most."""
    rows = [*dataset.splits.get("recent", []), *dataset.splits.get("holdout", [])]
    return [row for row in rows if row.weight > 0][: policy.rows_at_most]


def prompts_of(rows: Sequence[PairRow], most: int) -> list[Prompt]:
    """The first different prompts."""
    prompts: dict[str, Prompt] = {repr(row.prompt): row.prompt for row in rows}
    return list(prompts.values())[:most]


def prompt_leak_gate(dataset: PairDataset, rows: Sequence[PairRow]) -> Gate:
    """No prompt that judges was learned from: answers to a known prompt would prove nothing."""
    learned = {repr(row.prompt) for row in dataset.splits.get("train", [])}
    asked = {repr(row.prompt) for row in rows}
    common = len(learned & asked)
    measured = f"{common} of {len(asked)} held-out prompts are trained on"
    return Gate("leak", not common, measured, "none", float(common), 0.0, {"prompts": len(asked)})
