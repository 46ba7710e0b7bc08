"""The reply that every peer gives, in the Open Inference Protocol's form, so that all send and read the same bytes."""

from collections.abc import Sequence
from typing import Any

PATH = "/v2/models/triage/infer"


def reply(labels: Sequence[str], probabilities: Any) -> dict[str, Any]:
    """Labels and probabilities, a numpy array or a tensor of shape (rows, labels), as the protocol's outputs."""
    rows, columns = probabilities.shape
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [rows], "data": list(labels)},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [rows, columns],
            "data": probabilities.reshape(-1).tolist(),
        },
    ]
    return {"model_name": "triage", "outputs": outputs}
