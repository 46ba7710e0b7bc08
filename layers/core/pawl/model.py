"""A verified bundle opened for prediction: one code for serving, for the gates and for the reference profile.

Needs onnxruntime and tokenizers, which the serving layer and the training image bring.

A session opens a graph that was optimized when it was built, with its weights mapped from the file: no optimizer runs
here. One thread by default: with a share of one CPU, more threads only make the slow answers slower.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from pawl.bundle import Bundle
from pawl.errors import InvalidBundle, UnsupportedRequest
from pawl.records import answer_features

KIND = "text-classifier"
Floats = np.ndarray[Any, np.dtype[np.float32]]


class Answer(NamedTuple):
    """A model's answer: `outputs` as the protocol shows them and `features` as the profile counts them, by name."""

    outputs: dict[str, list[Any]]
    features: dict[str, list[Any]]


class TextClassifier:
    """A text classifier: tokenizer and session over one verified bundle."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        self._tokenizer.enable_truncation(bundle.manifest.max_tokens)
        self._tokenizer.no_padding()
        self._session = open_session(str(bundle.path / "model.onnx"), threads)

    def predict(self, texts: Sequence[str]) -> Answer:
        """Label, probabilities and profile features of each text; shape (rows,), (rows, labels)."""
        tokens, feed = _pad(self._tokenizer.encode_batch(list(texts)))
        results = cast("list[Floats]", self._session.run(["probabilities", "projection"], feed))
        probabilities, projections = results
        best: list[int] = probabilities.argmax(axis=1).tolist()
        labels = [self.manifest.labels[i] for i in best]
        confidences = probabilities[np.arange(len(best)), best].tolist()
        outputs = {"label": labels, "probabilities": np.round(probabilities, 7).tolist()}
        return Answer(outputs, answer_features(tokens, labels, confidences, projections.tolist()))

    def predict_labels(self, texts: Sequence[str], batch: int = 32) -> list[str]:
        """The label of each text, a batch at a time."""
        starts = range(0, len(texts), batch)
        return [label for start in starts for label in self.predict(texts[start : start + batch]).outputs["label"]]


def open_model(bundle: Bundle) -> TextClassifier:
    """The model in a bundle; UnsupportedRequest when its kind is not served here."""
    if bundle.manifest.kind != KIND:
        raise UnsupportedRequest(f"model kind {bundle.manifest.kind!r}: this server offers {KIND}")
    try:
        return TextClassifier(bundle)
    except Exception as error:  # tokenizers raises Exception itself, onnxruntime a dozen types under no common root
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        raise InvalidBundle(f"{name} cannot be opened: {type(error).__name__}") from error


def open_session(path: str, threads: int = 1) -> ort.InferenceSession:
    """A CPU session over an already optimized graph."""
    options: Any = ort.SessionOptions()  # pyright: ignore[reportUnknownVariableType]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _pad(encodings: Sequence[Encoding]) -> tuple[list[int], dict[str, np.ndarray[Any, Any]]]:
    """Token counts, and ids and mask padded to the longest row; shape (rows, tokens), int64."""
    rows = [encoding.ids for encoding in encodings]
    lengths = [len(row) for row in rows]
    width = max(lengths)
    ids = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * length + [0] * (width - length) for length in lengths], np.int64)
    return lengths, {"input_ids": ids, "attention_mask": mask}
