"""The model card: `card.md` in the bundle, with the metadata that Hugging Face's hub reads at its head.

Everything in it is taken from the manifest and the dataset; nobody has to keep it true by hand.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pawl.bundle import Lineage
from pawl.dataset import FrozenDataset
from training import sections


def write_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any], dataset: FrozenDataset) -> None:
    """Write the card of a model that is about to be sealed with these manifest fields and metrics."""
    parts = [
        _metadata(about, metrics),
        _introduction(about),
        _data(dataset),
        _results(metrics),
        sections.slices(metrics, "rows"),
        sections.fairness(metrics["int8"]),
        sections.calibration(metrics["int8"]),
        sections.robustness(metrics.get("robustness", {})),
        sections.compression(metrics.get("compression", [])),
        _limits(about, metrics),
        sections.SECURITY,
        sections.lineage(about["lineage"], "labelled answers"),
        sections.resources(metrics.get("footprint")),
    ]
    path.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def write_generator_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write the card of a packaged text generator that is about to be sealed with these manifest fields and metrics."""
    lineage: Lineage = about["lineage"]
    body, head = (_scheme(about["quantization"][part]) for part in ("body", "head"))
    path.write_text(
        f"""---
license: {json.dumps(lineage.base_licence)}
base_model: {json.dumps(lineage.base_model)}
pipeline_tag: text-generation
library_name: onnxruntime
tags: [pawl, onnx]
---

# {about["name"]} {about["version"]}

{lineage.base_model}, packaged as it is: nothing was trained here. It answers in free text, up to {about["max_tokens"]}
tokens of prompt and answer together. What it says may be wrong or biased, as its base model's answers are; nobody
should act on it unchecked.

## What the packaging changed

The checkpoint's weights were stored as {about["quantization"]["source"]}. The layers' are served in {body}; the
embedding and the head in {head}. Activations are rounded to int8 before each multiplication. Over {metrics["tokens"]}
tokens of a text that nothing was fitted to:

| | the checkpoint in float32 | as served |
|---|---|---|
| perplexity | {metrics["float_perplexity"]:.2f} | {metrics["perplexity"]:.2f} |
| same next token | | {metrics["next_token_agreement"]:.1%} |
| divergence, nats | | {metrics["divergence"]:.4f} |

The served graph has {metrics["bytes_ratio"]:.0%} of the float graph's bytes and made
{metrics["decode_tokens_per_s"]:.0f} tokens a second on one thread of the machine that packaged it.

{sections.lineage(lineage, "labelled answers")}
""",
        encoding="utf-8",
    )


def write_embedder_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write the card of a packaged text embedder that is about to be sealed with these manifest fields and metrics."""
    lineage: Lineage = about["lineage"]
    latency = metrics["latency"]
    path.write_text(
        f"""---
license: {json.dumps(lineage.base_licence)}
base_model: {json.dumps(lineage.base_model)}
pipeline_tag: sentence-similarity
library_name: onnxruntime
tags: [pawl, onnx, int8]
---

# {about["name"]} {about["version"]}

{lineage.base_model}, packaged as it is: nothing was trained here. A text becomes a unit vector of
{about["outputs"][0].shape[-1]} dimensions, the mean of its tokens' states; texts alike in meaning lie close. Texts are
cut at {about["max_tokens"]} tokens.

## What the packaging changed

Weights and activations are int8. Over {metrics["texts"]} texts that nothing was fitted to, the cosine between the
served vector and float32's was {metrics["cosine_mean"]:.4f} in the mean and {metrics["cosine_min"]:.4f} at worst. One
row of {latency["tokens"]} tokens on one thread took {latency["int8_ms"]:.1f} ms as served and
{latency["float_ms"]:.1f} ms as the float graph on the machine that packaged it; the graph has
{metrics["bytes_ratio"]:.0%} of the float graph's bytes.

{sections.lineage(lineage, "labelled answers")}
""",
        encoding="utf-8",
    )


def write_recalibrated_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write the card of a classifier whose probabilities were corrected, about to be sealed with these fields."""
    lineage: Lineage = about["lineage"]
    how = about["quantization"]
    biases = "\n".join(f"| `{label}` | {bias:+.3f} |" for label, bias in zip(about["labels"], how["bias"], strict=True))
    path.write_text(
        f"""{_metadata(about, metrics)}

{_introduction(about)}

## What was corrected

{lineage.parent}, with its {how["recalibrated"]} corrected by {metrics["fitted_rows"]} labelled answers that came after
it was made. No weight was changed: its logits are multiplied by {how["scale"]:.3f}, then each label's bias is added.

| label | bias |
|---|---|
{biases}

On rows held out in turn, nats of log loss saved a row, and answers put right: {_gains(metrics)}.

## Results

| split | version | rows | accuracy | log loss | calibration error |
|---|---|---|---|---|---|
{_compared(metrics)}

{sections.slices(metrics, "rows")}

{sections.calibration(metrics["int8"])}

{_limits(about, metrics)}

{sections.SECURITY}

{sections.lineage(lineage, "labelled answers")}

{sections.resources(metrics.get("footprint"))}
""",
        encoding="utf-8",
    )


def _gains(metrics: Mapping[str, Any]) -> str:
    gains = metrics["held_out_gains"].items()
    return ", ".join(
        f"{name} {one['nats']:+.4f} (± {one['error']:.4f}) and {one['righted']:+d} right" for name, one in gains
    )


def _compared(metrics: Mapping[str, Any]) -> str:
    return "\n".join(
        f"| {split} | {name} | {one['rows']} | {one['accuracy']:.1%} | {one['log_loss']:.3f} | "
        f"{one['expected_calibration_error']:.3f} |"
        for split in metrics["int8"]
        for name, one in (("before", metrics["live"][split]), ("corrected", metrics["int8"][split]))
    )


def _scheme(scheme: Mapping[str, Any]) -> str:
    offsets = ", each with its exact offset" if scheme["minima"] else ""
    spare = f", the {scheme['spare']} loudest channels twice" if scheme["spare"] else ""
    return f"{scheme['bits']}-bit blocks of {scheme['block']}{offsets}{spare}"


def _metadata(about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """YAML front matter; JSON scalars are YAML, so strings are written as JSON."""
    lineage: Lineage = about["lineage"]
    lines = [
        "---",
        f"license: {json.dumps(lineage.base_licence)}",
        f"base_model: {json.dumps(lineage.base_model)}",
        "pipeline_tag: text-classification",
        "library_name: onnxruntime",
        "tags: [pawl, onnx, int8]",
        "metrics: [accuracy, f1]",
        *sections.emissions(metrics.get("footprint")),
        "model-index:",
        f"- name: {json.dumps(about['name'])}",
        "  results:",
    ]
    for split, measured in metrics["int8"].items():
        lines += [
            "  - task: {type: text-classification}",
            f"    dataset: {{name: {split}, type: {json.dumps(about['name'])}, revision: {lineage.dataset}}}",
            f"    metrics: [{{type: accuracy, value: {measured['accuracy']}}}, "
            f"{{type: f1, value: {measured['macro_f1']}}}]",
        ]
    return "\n".join([*lines, "---"])


def _introduction(about: Mapping[str, Any]) -> str:
    labels = ", ".join(f"`{label}`" for label in about["labels"])
    return (
        f"# {about['name']} {about['version']}\n\nSorts short texts into {len(about['labels'])} labels: {labels}. "
        f"It is meant for texts like those it was trained on, where a wrong label costs little or a person looks "
        f"at doubtful ones; its confidence is calibrated, so a threshold on it is meaningful. It is not meant to "
        f"decide anything about a person by itself.\n\nTexts are cut at {about['max_tokens']} tokens."
    )


def _data(dataset: FrozenDataset) -> str:
    lines = ["## Data", "", "| split | rows | of these labelled traffic | rows a label |", "|---|---|---|---|"]
    for split, rows in dataset.splits.items():
        traffic = sum(row.source != "starter" for row in rows)
        counts = Counter(row.label for row in rows).values()
        lines.append(f"| {split} | {len(rows)} | {traffic} | {min(counts)} to {max(counts)} |")
    return "\n".join(
        [
            *lines,
            "",
            "`train` is learned from, a part of it held back to stop the training and set the "
            "temperature; `holdout` and `recent` (the newest labelled traffic) are only judged by.",
        ]
    )


def _results(metrics: Mapping[str, Any]) -> str:
    lines = [
        "## Results",
        "",
        "| split | model | rows | accuracy | macro F1 | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    for split in metrics["int8"]:
        for kind, name in (("float", "float32"), ("int8", "int8, as served")):
            one = metrics[kind][split]
            lines.append(
                f"| {split} | {name} | {one['rows']} | {sections.share(one['accuracy'], one['rows'])} | "
                f"{one['macro_f1']:.3f} | {one['expected_calibration_error']:.3f} |"
            )
    return "\n".join([*lines, "", sections.latency(metrics)])


def _limits(about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    rows = metrics["int8"]["holdout"]["rows"]
    return (
        f"## Limits\n\nEvery text gets one of the {len(about['labels'])} labels, also one that fits none. The "
        f"holdout has {rows} rows, so one row is {100 / rows:.2f} points of accuracy, and slices are smaller "
        f"still. The base model's own limits and biases, from the texts it was pretrained on, remain."
    )
