"""Peer: LitServe with the very graph that we serve. `python litserve_onnx.py PORT BUNDLE BATCH`.

One worker, its faster queue; BATCH above 1 lets it gather requests for as long as our container server may.
"""

import sys
from typing import Any

from litserve import LitAPI, LitServer
from onnx_classifier import OnnxClassifier
from protocol import PATH, reply

BATCH_TIMEOUT_S = 0.002


class Api(LitAPI):
    """Requests with one text each."""

    def setup(self, device: str) -> None:
        """Open the model in the worker."""
        self.model = OnnxClassifier(sys.argv[2])

    def decode_request(self, request: dict[str, Any], **_: Any) -> str:
        """The text of a request."""
        return request["inputs"][0]["data"][0]

    def batch(self, inputs: list[str]) -> list[str]:
        """Texts stay a list."""
        return inputs

    def predict(self, x: str | list[str], **_: Any) -> Any:
        """The answer to a text, or those to a batch of them."""
        labels, probabilities = self.model.predict([x] if isinstance(x, str) else x)
        answers = [(label, probabilities[row : row + 1]) for row, label in enumerate(labels)]
        return answers[0] if isinstance(x, str) else answers

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Answers are a list already."""
        return output

    def encode_response(self, output: tuple[str, Any], **_: Any) -> dict[str, Any]:
        """The protocol's reply."""
        label, probabilities = output
        return reply([label], probabilities)


if __name__ == "__main__":
    batch = int(sys.argv[3])
    api = Api(max_batch_size=batch, batch_timeout=BATCH_TIMEOUT_S if batch > 1 else 0.0, api_path=PATH)
    server = LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
