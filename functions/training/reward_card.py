"""The card of a reward model: what it was taught to prefer, how often it is right, and what it must not be used for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pawl.bundle import Lineage
from pawl.pairset import PairDataset
from training import sections


def write_reward_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any], dataset: PairDataset) -> None:
    """Write the card of a reward model that is about to be sealed with these manifest fields and metrics."""
    path.write_text(
        "\n\n".join(
            [
                _metadata(about, metrics),
                _introduction(about),
                _data(dataset, metrics["thumbs_left_out"]),
                _results(metrics),
                sections.slices(metrics, "pairs"),
                _limits(about, metrics),
                sections.lineage(about["lineage"], "compared answers"),
            ]
        )
        + "\n",
        encoding="utf-8",
    )


def _metadata(about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    lineage: Lineage = about["lineage"]
    lines = [
        "---",
        f"license: {json.dumps(lineage.base_licence)}",
        f"base_model: {json.dumps(lineage.base_model)}",
        "pipeline_tag: text-ranking",
        "library_name: onnxruntime",
        "tags: [pawl, onnx, int8, reward-model]",
        "metrics: [accuracy]",
        "model-index:",
        f"- name: {json.dumps(about['name'])}",
        "  results:",
    ]
    for split, measured in metrics["int8"].items():
        lines += [
            "  - task: {type: text-ranking}",
            f"    dataset: {{name: {split}, type: {json.dumps(about['name'])}, revision: {lineage.dataset}}}",
            f"    metrics: [{{type: accuracy, value: {measured['accuracy']}}}]",
        ]
    return "\n".join([*lines, "---"])


def _introduction(about: Mapping[str, Any]) -> str:
    how = about["quantization"]
    return (
        f"# {about['name']} {about['version']}\n\nSays how good an answer to a prompt is, as one number, learned from "
        f"answers that people compared. Only the difference between two answers to the same prompt has a meaning: "
        f"divided by {how['temperature']:.3f}, it is the logarithm of the odds that people prefer the first. It is "
        f"meant to choose between answers and to align a generator, under watch. It says nothing of truth, and a "
        f"generator that is driven hard after it finds what it wrongly likes.\n\nDialogues are cut at "
        f"{about['max_tokens']} tokens: a longer one loses its beginning."
    )


def _data(dataset: PairDataset, thumbs: int) -> str:
    lines = [
        "## Data",
        "",
        "| split | pairs | of these traffic | with a margin | mean weight of raters |",
        "|---|---|---|---|---|",
    ]
    for split, rows in dataset.splits.items():
        traffic = sum(row.source == "traffic" for row in rows)
        margins = sum(row.margin is not None for row in rows)
        weight = sum(row.weight for row in rows) / max(1, len(rows))
        lines.append(f"| {split} | {len(rows)} | {traffic} | {margins} | {weight:.2f} |")
    return "\n".join(
        [
            *lines,
            "",
            "`train` is learned from, some of its prompts held back to set the temperature; `holdout` and `recent` "
            "(the newest comparisons) are only judged by." + (f" {thumbs} thumbs teach it nothing." if thumbs else ""),
        ]
    )


def _results(metrics: Mapping[str, Any]) -> str:
    lines = [
        "## Results",
        "",
        "Accuracy is how often the answer that people chose is rewarded more. `length alone` is what the lengths of "
        "the answers would have said. `length` is the correlation of rewards with the logarithm of lengths.",
        "",
        "| split | model | pairs | accuracy | length alone | log loss | calibration error | length |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for split in metrics["int8"]:
        for kind, name in (("float", "float32"), ("int8", "int8, as served")):
            one = metrics[kind][split]
            lines.append(
                f"| {split} | {name} | {one['rows']} | {one['accuracy']:.1%} | {metrics['length_only'][split]:.1%} | "
                f"{one['log_loss']:.3f} | {one['expected_calibration_error']:.3f} | {one['length_correlation']:+.2f} |"
            )
    agreement = f"Both prefer the same answer in {metrics['int8_agreement']['holdout']:.1%} of the holdout."
    learned = f"It was trained in {metrics['precision']}."
    return "\n".join([*lines, "", f"{agreement} {learned} {sections.latency(metrics)}"])


def _limits(about: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    holdout = metrics["int8"]["holdout"]
    penalty = about["quantization"]["length_penalty"]
    length = (
        f"Length was held against rewards by a penalty of {penalty:g}; what correlation is left stands above."
        if penalty
        else "Nothing keeps it from rewarding length where its raters did."
    )
    return (
        f"## Limits\n\nThe holdout has {holdout['rows']} pairs, so one pair is {100 / holdout['rows']:.2f} points of "
        f"accuracy, and slices are smaller still. It prefers what its raters preferred, their mistakes and biases "
        f"included. {length} The base model's own limits and biases, from the texts it was pretrained on, remain."
    )
