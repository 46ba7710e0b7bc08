"""Text classifiers: tokenizer and session over one bundle, and what a drift profile counts of their answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.model import Answer, Array, Column, Features, Parameter, open_session
from pawl.records import answer_features
from pawl.words import WordTokenizer
from pawl.writing import text_features, unknown_token

KIND = "text-classifier"
_OUTPUTS = ["probabilities", "projection"]


class TextClassifier:
    """A text classifier: `text` in, `label` and `probabilities` out."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        tokenizer.enable_truncation(bundle.manifest.max_tokens)
        tokenizer.no_padding()
        self._unknown = unknown_token(tokenizer)
        self._tokenizer = WordTokenizer(tokenizer)
        self._session = open_session(str(bundle.path / "model.onnx"), threads)

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        """Label and probabilities of each text; shapes (rows,) and (rows, labels)."""
        texts: Sequence[str] = inputs["text"]  # pyright: ignore[reportAssignmentType]
        tokens = [self._tokenizer.ids(text) for text in texts]
        probabilities, projections = run_rows(self._session, _OUTPUTS, tokens)
        names = self.manifest.labels
        best: list[int] = probabilities.argmax(1).tolist()
        labels = [names[each] for each in best]

        def features() -> Features:
            asked = text_features(texts, tokens, self._unknown)
            return {**asked, **answer_features(labels, probabilities.max(1).tolist(), projections.tolist())}

        return Answer({"label": labels, "probabilities": probabilities}, features)


def run_rows(session: Any, outputs: Sequence[str], rows: Sequence[list[int]]) -> list[Array]:
    """What a graph says of token id rows, in their order, each computed in a run of its own.

    The bytes that a quantized graph multiplies are rounded by all that is in a run, so rows that go together change
    each other's answers. Nor would they take less time there: as long where they are equally long, and else longer, for
    they are padded to the longest: four of our starter's texts by a third, 32 twice as long. Of equally long rows a
    float graph computes sixteen together in two thirds of the time.
    """
    parts = [session.run(outputs, feed_of(row)) for row in rows]
    return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]


def feed_of(row: list[int]) -> dict[str, Array]:
    """A graph's inputs for one row of token ids: ids and mask, shape (1, tokens), int64."""
    ids = np.array([row], np.int64)
    return {"input_ids": ids, "attention_mask": np.ones(ids.shape, np.int64)}
