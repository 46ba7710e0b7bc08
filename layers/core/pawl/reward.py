"""Reward models: how good an answer to a prompt is, as one number; only differences between answers to a prompt count.

Training and serving lay a dialogue out by the same `Layout`, which the bundle keeps in `reward.json`. What is too long
loses its beginning: the end of the prompt and the answer are what is judged.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pawl.bundle import Bundle, open_bundle
from pawl.classifier import run_rows
from pawl.embedder import embedding_features
from pawl.errors import InvalidBundle, InvalidRequest
from pawl.examples import Prompt
from pawl.model import Answer, Column, Features, Parameter, open_session
from pawl.narrowing import is_list, is_object
from pawl.writing import text_features, unknown_token

if TYPE_CHECKING:
    from pawl.bucket import Bucket

KIND = "reward-model"
LAYOUT = "reward.json"
SCHEMA = 1
_OUTPUTS = ["reward", "projection"]
_PARTS = ("start", "between", "end")


@dataclass(frozen=True, slots=True)
class Layout:
    """The token ids that stand before a prompt, between it and its answer, and after that."""

    start: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]

    def join(self, prompt: Sequence[int], completion: Sequence[int], max_tokens: int) -> list[int]:
        """One row of ids, at most `max_tokens` long: what is too much goes from the left.

        >>> Layout((1,), (2,), (3,)).join([7, 8, 9], [5], 6)
        [1, 8, 9, 2, 5, 3]
        """
        inner = [*prompt, *self.between, *completion]
        room = max_tokens - len(self.start) - len(self.end)
        return [*self.start, *inner[max(0, len(inner) - room) :], *self.end]

    def to_json(self) -> str:
        """What `reward.json` holds."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Layout":
        """The layout that `to_json` wrote; InvalidBundle says what is wrong with any other."""
        try:
            raw: Any = json.loads(text)
        except ValueError as error:
            raise InvalidBundle(f"{LAYOUT} is not JSON") from error
        if not is_object(raw) or set(raw) != {"schema", *_PARTS} or raw["schema"] != SCHEMA:
            raise InvalidBundle(f"{LAYOUT}: want exactly the fields {sorted(('schema', *_PARTS))} with schema {SCHEMA}")
        for part in _PARTS:
            if not is_list(raw[part]) or not all(type(each) is int and each >= 0 for each in raw[part]):
                raise InvalidBundle(f"{LAYOUT}: {part} must be a list of token ids")
        return cls(*(tuple(raw[part]) for part in _PARTS))


class RewardModel:
    """A reward model: `prompt` and `completion` in, `reward` out."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._layout = Layout.from_json((bundle.path / LAYOUT).read_bytes())
        self._tokenizer = plain(Tokenizer.from_file(str(bundle.path / "tokenizer.json")))
        self._unknown = unknown_token(self._tokenizer)
        self._session = open_session(str(bundle.path / "model.onnx"), threads)

    def rewards(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> NDArray[np.float64]:
        """The reward of each completion of the prompt beside it, shape (rows,)."""
        rows = self._rows([dialogue(prompt) for prompt in prompts], completions)
        return run_rows(self._session, _OUTPUTS, rows)[0].astype(np.float64) if rows else np.zeros(0)

    def preference_probability(self, reward: float, other: float) -> float:
        """How likely people are to prefer an answer of this reward to another one to the same prompt.

        The logistic function of the difference over the manifest's temperature (Bradley, Terry 1952).
        """
        return 0.5 * (1 + math.tanh((reward - other) / self.manifest.quantization["temperature"] / 2))

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        """The reward of each row, shape (rows,). A prompt that is a JSON list of messages is read as a conversation."""
        prompts = [dialogue(parse_prompt(prompt)) for prompt in inputs["prompt"]]
        completions: Sequence[str] = inputs["completion"]  # pyright: ignore[reportAssignmentType]
        rows = self._rows(prompts, completions)
        rewards, projections = run_rows(self._session, _OUTPUTS, rows)

        def features() -> Features:
            asked = {"prompt_characters": [len(prompt) for prompt in prompts]}
            said = text_features(completions, rows, self._unknown)
            return {**asked, **said, "reward": np.round(rewards.astype(float), 4).tolist()} | embedding_features(
                projections
            )

        return Answer({"reward": rewards}, features)

    def _rows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
        if len(prompts) != len(completions):
            raise InvalidRequest(f"{len(prompts)} prompts and {len(completions)} completions: want as many of each")
        return [
            self._layout.join(ids_of(self._tokenizer, prompt), ids_of(self._tokenizer, said), self.manifest.max_tokens)
            for prompt, said in zip(prompts, completions, strict=True)
        ]


def stored_judge(bucket: "Bucket", name: str, version: str, folder: Path) -> RewardModel:
    """A released version of a reward model, fetched into `folder`; InvalidBundle when it cannot be opened."""
    for file, data in bucket.read_folder(f"models/{name}/{version}/").items():
        if "/" not in file:
            (folder / file).write_bytes(data)
    return RewardModel(open_bundle(folder))


def dialogue(prompt: Prompt) -> str:
    """A prompt as one text: a conversation as its messages, each after who says it; a lone question as it is.

    >>> dialogue([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}])
    'user: Hi\\n\\nassistant: Hello!'
    """
    if isinstance(prompt, str):
        return prompt
    if [message["role"] for message in prompt] == ["user"]:
        return prompt[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def parse_prompt(text: str) -> Prompt:
    """A prompt as it travels in a tensor: itself, or the conversation that it is the JSON of.

    >>> parse_prompt('[{"role": "user", "content": "Hi"}]')
    [{'role': 'user', 'content': 'Hi'}]
    """
    if not text.startswith("["):
        return text
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return raw if is_list(raw) and raw and all(_is_message(each) for each in raw) else text


def plain(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, now neither cutting nor padding; a special token that somebody spells out is text to it."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """The token ids of a text, without any special ones."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def _is_message(raw: Any) -> bool:
    return is_object(raw) and set(raw) == {"role", "content"} and all(isinstance(each, str) for each in raw.values())
