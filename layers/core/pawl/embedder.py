"""Text embedders: tokenizer and session over one bundle; pooling and normalizing happen inside the graph."""

from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.classifier import run_rows
from pawl.model import Answer, Array, Column, Features, Parameter, open_session
from pawl.words import WordTokenizer
from pawl.writing import text_features, unknown_token

KIND = "text-embedder"
_OUTPUTS = ["embedding", "projection"]


class TextEmbedder:
    """A text embedder: `text` in, `embedding` out, a unit vector a text."""

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
        """The embedding of each text, shape (rows, dimensions); texts are cut at `manifest.max_tokens`."""
        texts: Sequence[str] = inputs["text"]  # pyright: ignore[reportAssignmentType]
        tokens = [self._tokenizer.ids(text) for text in texts]
        embeddings, projections = run_rows(self._session, _OUTPUTS, tokens)

        def features() -> Features:
            return {**text_features(texts, tokens, self._unknown), **embedding_features(projections)}

        return Answer({"embedding": embeddings}, features)


def embedding_features(projections: Array) -> Features:
    """What a profile counts of embeddings: their main directions, shape (rows, directions)."""
    columns = np.round(projections.astype(float), 4).T.tolist()
    return {f"projection_{d}": column for d, column in enumerate(columns)}
