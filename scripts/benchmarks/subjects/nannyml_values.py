"""Peer: what NannyML says of the rows in `labelled.py`; prints one line of JSON. `python nannyml_values.py`.

Each value with its sampling error, of one window and fitted to the rows before it. What it printed lies in
`tests/unit/nannyml.json`, for tests that cannot import it: it shares neither versions nor Pythons with the project.
"""

import importlib.metadata
import json
import os
import warnings
from typing import Any

# It would otherwise tell its makers about each call.
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")

import nannyml  # noqa: E402
import pandas  # noqa: E402
from labelled import Binary, prices, three_labels, tumours, two_labels  # noqa: E402


def main() -> None:
    """All values, by estimator and metric."""
    found = {
        "CBPE of two labels": binary_quality(two_labels()),
        "CBPE of tumours": binary_quality(tumours()),
        "CBPE of three labels": multiclass_quality(),
        "DLE": losses(),
    }
    print(json.dumps({"nannyml": importlib.metadata.version("nannyml"), **found}))


def binary_quality(parts: tuple[Binary, Binary]) -> dict[str, list[float]]:
    """Quality of a binary classifier."""
    tables = [pandas.DataFrame(part._asdict()) for part in parts]
    metrics = ["accuracy", "precision", "recall", "f1", "roc_auc"]
    estimator = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred="guess",
        y_pred_proba="probability",
        y_true="truth",
        metrics=metrics,
        chunk_size=len(tables[1]),
    )
    return _values(estimator, tables, metrics)


def multiclass_quality() -> dict[str, list[float]]:
    """Quality of a classifier of three labels whose inputs are harder now."""
    tables = [
        pandas.DataFrame(
            {"guess": rows.guess, "truth": rows.truth, **{f"p{k}": rows.probabilities[:, k] for k in range(3)}}
        )
        for rows in three_labels()
    ]
    metrics = ["accuracy", "recall"]
    estimator = nannyml.CBPE(
        problem_type="classification_multiclass",
        y_pred="guess",
        y_pred_proba={k: f"p{k}" for k in range(3)},
        y_true="truth",
        metrics=metrics,
        chunk_size=len(tables[1]),
    )
    return _values(estimator, tables, metrics)


def losses() -> dict[str, list[float]]:
    """Mean absolute error of a regression asked about younger rows only."""
    tables = [pandas.DataFrame(rows._asdict()) for rows in prices()]
    estimator = nannyml.DLE(
        feature_column_names=["age", "fuel"], y_pred="guess", y_true="truth", metrics=["mae"], chunk_size=len(tables[1])
    )
    return _values(estimator, tables, ["mae"])


def _values(estimator: Any, tables: list[pandas.DataFrame], metrics: list[str]) -> dict[str, list[float]]:
    reference, recent = tables
    found = estimator.fit(reference).estimate(recent.drop(columns="truth")).filter(period="analysis").to_df()
    return {name: [float(found[name, part].iloc[0]) for part in ("value", "sampling_error")] for name in metrics}


if __name__ == "__main__":
    main()
