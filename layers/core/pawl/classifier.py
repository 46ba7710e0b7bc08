"""Text classifiers: tokenizer and session over one bundle, and what a drift profile counts of their answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.model import Answer, Array, Column, Features, Parameter, open_session
from pawl.records import answer_features
from pawl.words import WordTokenizer
from pawl.writing import text_features, unknown_token

KIND = "text-classifier"
RUN_TOKENS = 1024
"""The most tokens of one run, padding included: its memory grows with them, and a longer run takes no less time."""
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
        self._masks = np.ones((1, bundle.manifest.max_tokens), np.int64)

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        """Label and probabilities of each text; shapes (rows,) and (rows, labels)."""
        texts: Sequence[str] = inputs["text"]  # pyright: ignore[reportAssignmentType]
        tokens = [self._tokenizer.ids(text) for text in texts]
        probabilities, projections = self._run(tokens)
        names = self.manifest.labels
        best: list[int] = probabilities.argmax(1).tolist()
        labels = [names[each] for each in best]

        def features() -> Features:
            asked = text_features(texts, tokens, self._unknown)
            return {**asked, **answer_features(labels, probabilities.max(1).tolist(), projections.tolist())}

        return Answer({"label": labels, "probabilities": probabilities}, features)

    def _run(self, tokens: Sequence[list[int]]) -> list[Array]:
        if len(tokens) > 1:
            return run_rows(self._session, _OUTPUTS, tokens)
        ids = tokens[0]
        feed: Any = {"input_ids": np.array([ids], np.int64), "attention_mask": self._masks[:, : len(ids)]}
        return cast("list[Array]", self._session.run(_OUTPUTS, feed))


def run_rows(session: Any, outputs: Sequence[str], rows: Sequence[list[int]]) -> list[Array]:
    """What a graph says of token id rows, in their order; so many rows go into a run as RUN_TOKENS have room for."""
    parts = [session.run(outputs, pad(part)) for part in _parts(rows)]
    return parts[0] if len(parts) == 1 else [np.concatenate(each) for each in zip(*parts, strict=True)]


def _parts(rows: Sequence[list[int]]) -> Iterator[Sequence[list[int]]]:
    start, width = 0, 0
    for end, row in enumerate(rows):
        width = max(width, len(row))
        if start < end and (end + 1 - start) * width > RUN_TOKENS:
            yield rows[start:end]
            start, width = end, len(row)
    yield rows[start:]


def pad(rows: Sequence[list[int]]) -> dict[str, Array]:
    """Ids and mask of token id rows, padded on the right to the longest; shape (rows, tokens), int64."""
    width = max(map(len, rows))
    mask: Array = np.array([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    ids = np.zeros((len(rows), width), np.int64)
    ids[mask] = np.concatenate([np.array(row, np.int64) for row in rows])
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
