"""The model card of an aligned text generator: what it learned from, how far it moved, and what that was worth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pawl.bundle import Lineage
from pawl.pairset import PairDataset


def write_aligned_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any], dataset: PairDataset) -> None:
    """Write the card of a generator that is about to be sealed with these manifest fields and metrics."""
    lineage: Lineage = about["lineage"]
    told, served = metrics["alignment"], metrics["served"]
    kl, first, kept = told["kl"], told["looks"][0], _kept(told)
    path.write_text(
        f"""---
license: {json.dumps(lineage.base_licence)}
base_model: {json.dumps(lineage.base_model)}
pipeline_tag: text-generation
library_name: onnxruntime
tags: [pawl, onnx, {told["method"]}]
---

# {about["name"]} {about["version"]}

{lineage.base_model}, aligned with what people prefer. It answers in free text, up to {about["max_tokens"]} tokens of
prompt and answer together. What it says may be wrong or biased: it learned how answers should be, not what is true.

## Data

{_rows(dataset)}

`train` is learned from, but for a share of its prompts that is held back to notice over-optimization; the others are
only judged by. Each comparison counts by what its raters are worth, and so does each thumb: {_thumbs(told)}.

## How it was aligned

By {told["method"].upper()} with beta {told["beta"]:g}, against {told["reward"]}. The state after step
{told["best_step"]} of {told["steps"]} was kept{_stopped(told)}. Training multiplied in {told["precision"]}, these
looks at it in float32.

| on prompts held back from training | before | kept |
|---|---|---|
| reward | {first["reward"]:.4f} | {kept["reward"]:.4f} |
| gold: held-back pairs preferred, mean chance | {first["gold"]:.3f} | {kept["gold"]:.3f} |
| tokens an answer | {first["answer_tokens"]:.1f} | {kept["answer_tokens"]:.1f} |

Divergence from the model before, on {kl["answers"]} prompts that nothing was chosen by: {kl["per_token"]:.4f} nats a
token, {kl["per_answer"]:.2f} (± {kl["error"]:.2f}) an answer, by {kl["estimator"]}.

## As served, against {served["against"]}

| | rate | 95 % interval | wins | losses | ties |
|---|---|---|---|---|---|
{_wins(served)}

Answers have {served["answer_tokens"][0]:.0f} tokens in the mean; those of the version before had
{served["answer_tokens"][1]:.0f}.

## What the packaging changed

| over {metrics["tokens"]} tokens of a text that nothing was fitted to | aligned, in float32 | as served |
|---|---|---|
| perplexity | {metrics["float_perplexity"]:.2f} | {metrics["perplexity"]:.2f} |
| same next token | | {metrics["next_token_agreement"]:.1%} |

## Lineage

- base model: {lineage.base_model} ({lineage.base_licence})
- parent: {lineage.parent or "none"}
- recipe: {lineage.recipe}
- dataset: `{lineage.dataset}`
- run: `{lineage.run}`
- code: `{lineage.code}`
- adapter: rank {metrics["adapter"]["rank"]}, sha256 `{metrics["adapter"]["sha256"]}`
""",
        encoding="utf-8",
    )


def _kept(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(look for look in told["looks"] if look["step"] == told["best_step"])


def _stopped(told: Mapping[str, Any]) -> str:
    return "; the run was ended there, as the reward rose while gold fell" if told["was_stopped"] else ""


def _thumbs(told: Mapping[str, Any]) -> str:
    return f"{told['thumbs']} were learned from, {told['thumbs_left_out']} left out, for only KTO can learn from one"


def _rows(dataset: PairDataset) -> str:
    lines = ["| split | comparisons | thumbs | of these traffic |", "|---|---|---|---|"]
    for split, rows in dataset.splits.items():
        thumbs, traffic = sum(row.is_thumb for row in rows), sum(row.source == "traffic" for row in rows)
        lines.append(f"| {split} | {len(rows) - thumbs} | {thumbs} | {traffic} |")
    return "\n".join(lines)


def _wins(served: Mapping[str, Any]) -> str:
    names = {
        "win_rate": f"answers to {served['prompts']} prompts that the judge prefers",
        "pairs_preferred": f"of {served['pairs']} better answers beside worse ones, found likelier than before",
    }
    return "\n".join(
        f"| {meaning} | {one['rate']:.1%} | {one['low']:.1%} to {one['high']:.1%} | {one['wins']} | {one['losses']} | "
        f"{one['ties']} |"
        for name, meaning in names.items()
        if (one := served.get(name))
    )
