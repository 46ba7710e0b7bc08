"""The same two tables for every program that looks for drift: made from seeds, so that nothing is handed over."""

from typing import Any

import numpy as np


def tables(rows: int, columns: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A reference and what came after it, by column; of each ten columns seven are numbers, three words, one moved."""
    return _table(rows, columns, seed=1, moved=0.0), _table(rows, columns, seed=2, moved=0.5)


def _table(rows: int, columns: int, seed: int, moved: float) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    numbers = (
        lambda: generator.normal(0, 1, rows),
        lambda: generator.exponential(1, rows),
        lambda: generator.uniform(0, 1, rows),
    )
    words = np.array(["billing", "delivery", "meter", "outage", "tariff"])
    table: dict[str, Any] = {}
    for n in range(columns):
        if n % 10 < 7:
            table[f"column_{n}"] = numbers[n % 3]() + (moved if n % 10 == 0 else 0.0)
        else:
            table[f"column_{n}"] = generator.choice(words, rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    return table
