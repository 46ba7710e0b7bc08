"""The data card, `card.md` of a frozen dataset: what went in, what was left out and why. It names nobody."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pawl.minhash import SHINGLE, THRESHOLD
from retrain.splitting import RECENT_SHARE, Splits

NEW_LABEL_ROWS = 10
LEFT_OUT: Mapping[str, str] = {
    "unreadable": "pieces of feedback that give the answer no labels, such as corrections of something else",
    "erased": "pieces of feedback by or about somebody who was erased, or on an erased answer",
    "without answer": "pieces of feedback whose answer is not among the captured traffic",
    "known": "texts that the parent dataset has already",
    "quarantined": "texts all of whose votes are in quarantine",
    "untrusted": "texts on which only raters voted whose votes tell nothing",
    "near duplicate": f"texts that have {THRESHOLD:.0%} of their runs of {SHINGLE} words in common with an earlier one",
    "both sides": "texts that would have to be learned from and held out, by who asked and whom feedback names",
    "rare label": f"texts with a label that is new and has fewer than {NEW_LABEL_ROWS} rows to learn from",
    "erased row": "rows of the parent dataset by or about somebody who was erased, or of an erased answer",
}
"""Why something is not in a dataset, in the order in which it is left out."""


def data_card(model: str, splits: Splits, lineage: Mapping[str, Any]) -> str:
    """The card of a dataset that is about to be frozen with these rows and lineage."""
    since, until = lineage["traffic_window"]
    return f"""---
task_categories: [text-classification]
tags: [pawl]
---

# What {model} learns from next

{lineage["feedback"]} new texts of answers by any version, given from {since} to {until} and labelled by
{lineage["raters"]} raters, after the dataset {lineage["parent"]} of version {lineage["version"]}.

| split | rows | of these labelled traffic | labels | rows a label |
|---|---|---|---|---|
{_rows(splits)}

A label is the consensus of all raters of a text (Dawid, Skene 1979), each weighted by how far their votes depend on the
truth. `recent`, about {RECENT_SHARE:.0%} of what is new, is only judged by: nobody is in it and in `train`, unless a
rater judged more than that share. `holdout` is inherited as it was.

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


def _rows(splits: Splits) -> str:
    lines = list[str]()
    for split, rows in splits.items():
        counts = Counter(row.label for row in rows)
        traffic = sum(row.source != "starter" for row in rows)
        span = f"{min(counts.values(), default=0)} to {max(counts.values(), default=0)}"
        lines.append(f"| {split} | {len(rows)} | {traffic} | {len(counts)} | {span} |")
    return "\n".join(lines)


def _left_out(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {counts[reason]} | {reason} | {meaning} |" for reason, meaning in LEFT_OUT.items())


def _suspicions(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {count} | {reason} |" for reason, count in sorted(counts.items())) or "| 0 | none |"
