"""`scripts/bench [NAME] [--json]`: run one benchmark, or all of them, and print its figures beside their budgets."""

import argparse
import json
import sys
from collections.abc import Callable

from benchmarks import cost, inference
from benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {"cost": cost.measure, "inference": inference.measure}


def main() -> int:
    """Run what was asked for; always 0, since a benchmark tells and does not judge."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="which benchmark (default: all)")
    parser.add_argument("--json", action="store_true", help="end with one line of figures as JSON")
    arguments = parser.parse_args()
    names = [arguments.name] if arguments.name else sorted(BENCHMARKS)
    figures: list[Figure] = []
    for name in names:
        print(f"{name}\n", file=sys.stderr if arguments.json else sys.stdout)
        found = BENCHMARKS[name]()
        figures += found
        for figure in found:
            print(f"  {figure.line()}", file=sys.stderr if arguments.json else sys.stdout)
    if arguments.json:
        print(json.dumps({figure.key: figure.value for figure in figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
