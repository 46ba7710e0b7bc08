"""The served classifier for frameworks that bring no code of ours: the same graph, tokenizer and session options.

Runs in a peer's environment: numpy, onnxruntime and tokenizers, nothing of the project.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


class OnnxClassifier:
    """A bundle's classifier on one thread."""

    def __init__(self, folder: str) -> None:
        bundle = Path(folder)
        manifest = json.loads((bundle / "manifest.json").read_text())
        self.labels: list[str] = manifest["labels"]
        self._tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
        self._tokenizer.enable_truncation(manifest["max_tokens"])
        self._tokenizer.enable_padding()
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it was optimized when built
        self._session = ort.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def predict(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The label of each text, and the probabilities, shape (rows, labels)."""
        encodings = self._tokenizer.encode_batch(list(texts))
        feed = {
            "input_ids": np.array([each.ids for each in encodings], np.int64),
            "attention_mask": np.array([each.attention_mask for each in encodings], np.int64),
        }
        (probabilities,) = self._session.run(["probabilities"], feed)
        return [self.labels[i] for i in probabilities.argmax(axis=1)], probabilities
