"""What a text looks like before anybody reads it: its length, script and language, and what the tokenizer knows of it.

It is told when the reply has left, or on a device by the page's own script, which must say the same.
"""

from collections.abc import Sequence
from typing import Any

from pawl.language import language_of
from pawl.script import script_of


def unknown_token(tokenizer: Any) -> int | None:
    """The id of the token that stands for what the vocabulary lacks; None where there is none such."""
    name: str | None = getattr(tokenizer.model, "unk_token", None)
    return tokenizer.token_to_id(name) if name else None


def text_features(texts: Sequence[str], ids: Sequence[Sequence[int]], unknown: int | None) -> dict[str, list[Any]]:
    """The features of texts, shape (rows,), and their token ids: what a text model's profile counts of its input.

    `vocabulary` is how many different tokens a text has, `unknown_rate` the share of those that the vocabulary lacks.
    """
    features: dict[str, list[Any]] = {
        "tokens": [len(row) for row in ids],
        "vocabulary": [len(set(row)) for row in ids],
        "characters": [len(text) for text in texts],
        "script": [script_of(text) for text in texts],
        "language": [language_of(text) for text in texts],
    }
    if unknown is not None:
        features["unknown_rate"] = [round(list(row).count(unknown) / max(1, len(row)), 4) for row in ids]
    return features
