"""Peer: MLServer with the very graph that we serve, in a custom runtime. `python mlserver_onnx.py PORT BUNDLE`.

No worker processes and no metrics endpoint: on one CPU both only cost time.
"""

import asyncio
import socket
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_classifier import OnnxClassifier


class Classifier(MLModel):
    """The runtime that MLServer calls."""

    async def load(self) -> bool:
        """Open the model."""
        self._model = OnnxClassifier(sys.argv[2])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Label and probabilities of the texts in a request."""
        labels, probabilities = self._model.predict(StringCodec.decode_input(payload.inputs[0]))
        outputs = [
            StringCodec.encode_output("label", labels),
            NumpyCodec.encode_output("probabilities", probabilities),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def free_port() -> int:
    """A port for the gRPC server, which cannot be left out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=free_port(),
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        load_models_at_startup=False,
    )
    await MLServer(settings).start([ModelSettings(name="triage", implementation=Classifier)])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
