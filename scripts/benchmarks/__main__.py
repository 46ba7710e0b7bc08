"""`scripts/bench [NAME] [--json] [--quick] [--text FILE] [--data DIR]`: run one benchmark, or all; figures and budgets.

`alignment` takes `--part`, `--folds`, `--epochs`, `--device`, `--base` and `--variants` as well.

`drift` takes `--rows`: so many captured rows are collected, ten million in half an hour.

`inference` also runs other servers beside ours, in environments of their own under .pawl/peers, made when first asked
for (llama.cpp is built from source: a quarter of an hour); `--quick` leaves them out.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    alignment,
    compression,
    cost,
    datasets,
    drift,
    edge,
    inference,
    memory,
    privacy,
    quantization,
    release,
    trust,
)
from benchmarks.figures import Findings
from devices.source import local_source
from training.starter import MODEL

BENCHMARKS: dict[str, Callable[[argparse.Namespace], Findings]] = {
    "alignment": lambda asked: alignment.measure(_alignment(asked)),
    "compression": lambda asked: compression.measure(inference.HOME, asked.quick),
    "cost": lambda asked: Findings(cost.measure()),
    "datasets": lambda asked: datasets.measure(datasets.QUICK if asked.quick else datasets.Size()),
    "drift": lambda asked: drift.measure(inference.HOME, asked.quick, asked.rows),
    "edge": lambda asked: edge.measure(edge.QUICK if asked.quick else edge.Size(), local_source(MODEL, None)),
    "inference": lambda asked: inference.measure(asked.quick),
    "memory": lambda asked: Findings(memory.measure(inference.build(), inference.HOME)),
    "privacy": lambda asked: privacy.measure(inference.HOME),
    "quantization": lambda asked: Findings(quantization.measure(asked.text)),
    "release": lambda asked: release.measure(),
    "trust": lambda asked: trust.measure(asked.data, asked.quick),
}


def _alignment(asked: argparse.Namespace) -> alignment.Asked:
    if asked.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    turned = {} if asked.epochs is None else {"epochs": asked.epochs}
    parts = asked.part or alignment.PARTS
    return alignment.Asked(asked.data, asked.quick, parts, asked.folds, asked.base, turned, asked.variants)


def main() -> int:
    """Run what was asked for; always 0, since a benchmark tells and does not judge."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="which benchmark (default: all)")
    parser.add_argument("--json", action="store_true", help="end with one line of figures as JSON")
    parser.add_argument("--quick", action="store_true", help="without the other servers; fewer seeds and rows")
    parser.add_argument("--text", type=Path, help="a text for the quantization's perplexity (default: starter rows)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="a folder of public data sets, for what is measured on"
    )
    parser.add_argument("--rows", type=int, help="of capture that `drift` collects (default: 200,000; --quick: 20,000)")
    aligned = parser.add_argument_group("alignment")
    aligned.add_argument("--part", action="append", choices=alignment.PARTS, help="only this (may be said again)")
    aligned.add_argument("--folds", type=int, default=5, help="of the human pairs (default: 5); --quick judges one")
    aligned.add_argument("--epochs", type=float, help="of the reward model's training (default: the recipe's)")
    aligned.add_argument("--device", choices=["cpu"], help="train on it, GPU or not")
    aligned.add_argument("--base", help="of the reward model: folder or hub name (default: the packaged MiniLM)")
    aligned.add_argument("--variants", type=Path, metavar="FILE", help="JSON of knobs by name, to be judged as well")
    arguments = parser.parse_args()
    out = sys.stderr if arguments.json else sys.stdout
    report: dict[str, Any] = {}
    for name in [arguments.name] if arguments.name else sorted(BENCHMARKS):
        print(f"{name}\n", file=out)
        found = BENCHMARKS[name](arguments)
        for line in [*(f"  {figure.line()}" for figure in found.figures), *found.tables]:
            print(line, file=out)
        report |= {figure.key: figure.value for figure in found.figures} | found.more
    if arguments.json:
        print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
