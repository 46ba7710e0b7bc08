"""The data card of frozen comparisons: what went in, what was left out and why. It names nobody."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from pawl.minhash import SHINGLE, THRESHOLD
from pawl.pairset import PairRow
from retrain.sides import SHARE

NO_PAIR = "no pair"
LEFT_OUT: Mapping[str, str] = {
    NO_PAIR: "lines in the files of pairs to label that are none, or name no answer, so that they judge no rater",
    "unreadable": "pieces of feedback that compare no answers, or grade none by itself",
    "erased": "pieces of feedback by or about somebody who was erased, or on an erased answer",
    "without answer": "pieces of feedback of which an answer is not among the captured traffic",
    "several texts": "comparisons and thumbs of an answer that holds several texts, so that none is meant",
    "no text": "thumbs on an answer without a text",
    "same text": "comparisons of two answers that read the same",
    "quarantined": "pairs and answers all of whose votes are in quarantine",
    "untrusted": "pairs and answers on which only raters voted whose votes tell nothing, and numbers in the middle",
    "tie": "pairs that are as good as each other",
    "disputed": "pairs and answers on which raters of equal worth say the opposite",
    "repeat": f"pairs whose prompt and texts share {THRESHOLD:.0%} of their runs of {SHINGLE} words with another's, "
    "and thumbs on a text of a pair",
    "both sides": "pairs and thumbs that would have to be learned from and held out, by their prompt and who asked it",
    "erased row": "rows of the parent dataset by or about somebody who was erased, or of an erased answer",
}
"""Why something is not in a dataset, in the order in which it is left out."""


def pair_card(model: str, splits: Mapping[str, Sequence[PairRow]], lineage: Mapping[str, Any]) -> str:
    """The card of a dataset that is about to be frozen with these rows and lineage."""
    since, until = lineage["traffic_window"]
    parent = f"after the dataset {lineage['parent']}" if lineage["parent"] else "the first of this model"
    return f"""---
task_categories: [text-generation]
tags: [pawl, preference]
---

# What {model} learns to prefer next

{lineage["feedback"] - lineage["thumbs"]} new pairs of answers and {lineage["thumbs"]} new thumbs on single ones, given
from {since} to {until} by {lineage["raters"]} raters, {parent}.

| split | pairs | thumbs up | thumbs down | prompts | mean weight | with a margin | the longer one is chosen |
|---|---|---|---|---|---|---|---|
{_rows(splits)}

A weight is how sure all raters together are which answer is better, from 0 to 1: each counts by how well their votes
fit those of all others (Crowd-BT, Chen et al. 2013) and the {lineage["gold"]} pairs whose better answer is known. A
text that a person wrote, as a demonstration or a correction, is better than the answer that was given. A thumb weighs
what all who graded the answer are worth together (Dawid, Skene 1979); only KTO learns from thumbs.

About {SHARE:.0%} of what is new is only judged by: no prompt is in it and in `train`, nearly repeated or not, nor is
anybody who asked. Where the longer answer is chosen far more often than not, a model may learn length for quality.

## Left out

| | reason | what |
|---|---|---|
{_left_out(lineage["left_out"])}

## In quarantine

Votes that do not count until a person has looked at them: `scripts/pawl quarantine {model}` lists them with their
evidence, `scripts/pawl restore {model} FEEDBACK_ID` lets one count.

| votes | suspicion |
|---|---|
{_suspicions(lineage["quarantined"])}
"""


def _rows(splits: Mapping[str, Sequence[PairRow]]) -> str:
    return "\n".join(_line(split, rows) for split, rows in splits.items())


def _line(split: str, rows: Sequence[PairRow]) -> str:
    pairs = [row for row in rows if not row.is_thumb]
    up = sum(row.is_thumb and bool(row.chosen) for row in rows)
    prompts, weight = len({str(row.prompt) for row in rows}), fmean(row.weight for row in rows)
    margins = sum(row.margin is not None for row in pairs)
    longer = f"{sum(len(row.chosen) > len(row.rejected) for row in pairs) / len(pairs):.0%}" if pairs else "-"
    counts = f"{len(pairs)} | {up} | {len(rows) - len(pairs) - up} | {prompts}"
    return f"| {split} | {counts} | {weight:.2f} | {margins} | {longer} |"


def _left_out(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {counts[reason]} | {reason} | {meaning} |" for reason, meaning in LEFT_OUT.items())


def _suspicions(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {count} | {reason} |" for reason, count in sorted(counts.items())) or "| 0 | none |"
