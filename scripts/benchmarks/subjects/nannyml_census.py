"""Peer: NannyML's CBPE on the US census employment data that its package carries. `python nannyml_census.py CHUNK`.

Prints one line of JSON: its estimates of accuracy, chunk by chunk, and the rows, so that others can be asked the same.
"""

import json
import os
import sys
import warnings

# It would otherwise tell its makers about each call.
os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.simplefilter("ignore")

import nannyml  # noqa: E402


def main() -> None:
    """Fit to the reference year, estimate the years after it."""
    chunk = int(sys.argv[1])
    reference, analysis, targets = nannyml.load_us_census_ma_employment_data()
    whole = len(analysis) // chunk * chunk
    analysis, targets = analysis[:whole], targets[:whole]
    estimator = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred="prediction",
        y_pred_proba="predicted_probability",
        y_true="employed",
        metrics=["accuracy"],
        chunk_size=chunk,
    ).fit(reference)
    found = estimator.estimate(analysis).filter(period="analysis").to_df()
    told = {
        "chunk": chunk,
        "reference_rows": len(reference),
        "accuracy": found["accuracy", "value"].tolist(),
        "sampling_error": found["accuracy", "sampling_error"].tolist(),
        "predicted": [*reference["prediction"].tolist(), *analysis["prediction"].tolist()],
        "probability": [*reference["predicted_probability"].tolist(), *analysis["predicted_probability"].tolist()],
        "true": [*reference["employed"].tolist(), *targets["employed"].tolist()],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
