"""The card of a model of the kind `tensors`: what went in, how near it is to its source, and what fewer bits cost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pawl.bundle import Lineage, Tensor
from training import sections


def write_tensors_card(path: Path, about: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Write the card of a packaged model that is about to be sealed with these manifest fields and metrics."""
    lineage: Lineage = about["lineage"]
    off = metrics["float_difference"]
    parity = "nothing to compare it with" if off is None else f"within {off:.1g} of its source's answers"
    path.write_text(
        f"""---
license: {json.dumps(lineage.base_licence)}
base_model: {json.dumps(lineage.base_model)}
library_name: onnxruntime
tags: [pawl, onnx]
---

# {about["name"]} {about["version"]}

Made of {metrics["made_of"]} ({lineage.base_model}), packaged as it is: nothing was trained here. What it
is for, and what it must not decide, whoever made it has to say.

| tensor | | type | shape |
|---|---|---|---|
{_tensors("in", about["inputs"])}
{_tensors("out", about["outputs"])}

## What the packaging changed

The float graph: {parity}. Served: {about["quantization"]["weights"]}. Quality here is {metrics["quality_of"]}.

| weights | bytes | ms a row | quality | served |
|---|---|---|---|---|
{_points(metrics["compression"])}

{sections.robustness(metrics.get("robustness", {}))}

## Lineage

- base model: {lineage.base_model} ({lineage.base_licence})
- run: `{lineage.run}`
- code: `{lineage.code}`
""",
        encoding="utf-8",
    )


def _tensors(way: str, tensors: list[Tensor]) -> str:
    return "\n".join(f"| `{each.name}` | {way} | {each.datatype} | {each.shape} |" for each in tensors)


def _points(points: list[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"| {each['name']} | {each['bytes']:,} | {each['latency_ms']:.3f} | {each['quality']:.2%} | "
        f"{'yes' if each['chosen'] else ''} |"
        for each in points
    )
