"""A text generator: prompt in, text out, a token at a time, on plain onnxruntime.

The pieces are apart: `pawl.completion` is one text on its way, for which `pawl.decoder` runs the graph over its cache,
`pawl.sampling` chooses and `pawl.detokenizer` makes text; `pawl.constraint`, `pawl.chat` and `pawl.spelling` are
imported when first asked for.
"""

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.completion import Completion, Parts, Piece, Request, Text, never
from pawl.decoder import Decoder, Shape
from pawl.detokenizer import TokenBytes
from pawl.errors import InvalidBundle, InvalidRequest, UnsupportedRequest
from pawl.model import Answer, Column, Features, Parameter, open_session
from pawl.narrowing import is_list, is_object
from pawl.sampling import Sampling

if TYPE_CHECKING:
    from pawl.chat import ChatTemplate
    from pawl.constraint import Grammars
    from pawl.spelling import Spelling

KIND = "text-generator"
SCHEMA = 1
# Where nothing says when to end, a request by the Open Inference Protocol is to be answered in seconds.
PREDICT_MAX_TOKENS = 64
# Longer than almost every text's: a text of more characters than so many a token of the context is hardly ever served.
CHARACTERS_A_TOKEN = 16
PARAMETERS = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop")


@dataclass(frozen=True, slots=True)
class Generation:
    """What `generation.json` holds: the cache's shape, the most tokens, and what marks beginnings and ends."""

    layers: int
    kv_heads: int
    head_size: int
    context: int
    bos_token: str | None
    eos_token: str | None
    eos_ids: tuple[int, ...]


class TextGenerator:
    """A text generator over one verified bundle; `context` is the most tokens of prompt and text together."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.digest = bundle.digest
        self._path = bundle.path
        self._about = parse_generation((bundle.path / "generation.json").read_bytes())
        self.context = self._about.context
        self._tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        shape = Shape(self._about.layers, self._about.kv_heads, self._about.head_size, self.context)
        decoder = Decoder(open_session(str(bundle.path / "model.onnx"), threads), shape)
        vocabulary = min(decoder.vocabulary, self._tokenizer.get_vocab_size())
        self._parts = Parts(decoder, TokenBytes(self._tokenizer), vocabulary, self._about.eos_ids, threading.Lock())

    @property
    def vocabulary(self) -> int:
        """How many tokens there are: a prompt may hold those from 0 up to, not including, this one."""
        return self._parts.vocabulary

    @property
    def computed(self) -> int:
        """How many tokens have been run through the graph since the generator was opened."""
        return self._parts.decoder.computed

    def chat_ids(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The prompt for the next answer in a conversation, as tokens; special tokens come from the template alone."""
        return self._spelling.ids(messages, self._render)

    def text_ids(self, text: str) -> list[int]:
        """A text to go on with, as tokens; an empty one is the mark of a beginning, where the model has one."""
        self._check_size(text, adds_marks=True)
        ids = self._tokenizer.encode(text).ids
        bos = self._tokenizer.token_to_id(self._about.bos_token) if self._about.bos_token else None
        return ids if ids or bos is None else [bos]

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, deadline: Callable[[], bool] = never
    ) -> Iterator[Piece]:
        """The text piece by piece as it settles; what is wrong with the request is raised here, before the first."""
        return self._begin(prompt, sampling, deadline).pieces()

    def generate(self, prompt: Sequence[int], sampling: Sampling, deadline: Callable[[], bool] = never) -> Completion:
        """The whole text."""
        text = self._begin(prompt, sampling, deadline)
        pieces = list(text.pieces())
        tokens = tuple(token for piece in pieces for token in piece.tokens)
        whole = "".join(piece.text for piece in pieces)
        return Completion(whole, tokens, pieces[-1].finish_reason or "stop", text.token_count, text.is_cut)

    def predict(
        self,
        inputs: Mapping[str, Column],
        parameters: Mapping[str, Parameter] = {},
        deadline: Callable[[], bool] = never,
    ) -> Answer:
        """Each text of the column `text` gone on with, one after the other; the answer says if the deadline cut any."""
        sampling = sampling_of(parameters)
        prompts = [self.text_ids(text) for text in inputs["text"]]
        for prompt in prompts:
            self._check_prompt(prompt)
        done = [self.generate(prompt, sampling, deadline) for prompt in prompts]
        outputs: dict[str, Column] = {
            "text": [each.text for each in done],
            "finish_reason": [each.finish_reason for each in done],
        }
        features = completion_features([len(prompt) for prompt in prompts], done)
        told = {"cut_by": "deadline"} if any(each.is_cut for each in done) else {}
        return Answer(outputs, lambda: features, told)  # features are small beside the tokens that they are made of

    def _begin(self, prompt: Sequence[int], sampling: Sampling, deadline: Callable[[], bool]) -> Text:
        self._check_prompt(prompt)
        constraint = self._grammars.constrain(sampling.json_schema) if sampling.is_constrained else None
        limit = min(sampling.max_tokens or self.context, self.context - len(prompt))
        return Text(self._parts, Request(tuple(prompt), sampling, limit, deadline), constraint)

    def _render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        text = self._template.render(messages)
        self._check_size(text, adds_marks=False)
        return text

    def _check_size(self, text: str, *, adds_marks: bool) -> None:
        """Refuse a text that is far too long by its beginning, for encoding megabytes would take seconds."""
        length = self.context * CHARACTERS_A_TOKEN
        if len(text) > length:
            count = len(self._tokenizer.encode(text[:length], add_special_tokens=adds_marks).ids)
            if count > self.context + CHARACTERS_A_TOKEN:
                raise self._too_long(f"{count} tokens in its first {length} characters")

    def _too_long(self, what: str) -> InvalidRequest:
        return InvalidRequest(
            f"the prompt has {what} and {self.manifest.name} a context of {self.context}: "
            f"want at most {self.context - 1} tokens, so that there is room for an answer"
        )

    def _check_prompt(self, prompt: Sequence[int]) -> None:
        if not prompt:
            raise InvalidRequest("the prompt has no tokens: want at least one")
        if min(prompt) < 0 or max(prompt) >= self.vocabulary:
            raise InvalidRequest(
                f"the prompt has tokens that there are not: want numbers from 0 to {self.vocabulary - 1}"
            )
        if len(prompt) >= self.context:
            raise self._too_long(f"{len(prompt)} tokens")

    @functools.cached_property
    def _template(self) -> "ChatTemplate":
        from pawl.chat import ChatTemplate

        path = self._path / "chat_template.jinja"
        if "chat_template.jinja" not in self.manifest.files:
            raise UnsupportedRequest(f"{self.manifest.name} has no chat template: ask it to complete a text instead")
        return ChatTemplate(path.read_text(encoding="utf-8"), self._about.bos_token, self._about.eos_token)

    @functools.cached_property
    def _spelling(self) -> "Spelling":
        from pawl.spelling import Spelling

        return Spelling(self._tokenizer)

    @functools.cached_property
    def _grammars(self) -> "Grammars":
        from pawl.constraint import Grammars

        return Grammars(self._tokenizer.to_str(), self._parts.vocabulary, self._about.eos_ids)


def parse_generation(text: str | bytes) -> Generation:
    """What `generation.json` says; InvalidBundle names the field that is missing, unknown or impossible."""
    try:
        raw: Any = json.loads(text)
    except ValueError as error:
        raise InvalidBundle("generation.json is not JSON") from error
    names = {"schema", *(field.name for field in fields(Generation))}
    if not is_object(raw) or set(raw) != names or raw["schema"] != SCHEMA:
        raise InvalidBundle(f"generation.json: want exactly the fields {sorted(names)} with schema {SCHEMA}")
    for name in ("layers", "kv_heads", "head_size", "context"):
        if not isinstance(raw[name], int) or raw[name] < 1:
            raise InvalidBundle(f"generation.json: {name} must be a whole number from 1")
    for name in ("bos_token", "eos_token"):
        if not isinstance(raw[name], str | None):
            raise InvalidBundle(f"generation.json: {name} must be a string or null")
    ids = raw["eos_ids"]
    if not is_list(ids) or not ids or not all(isinstance(each, int) and each >= 0 for each in ids):
        raise InvalidBundle("generation.json: eos_ids must be a list of one token or more")
    return Generation(**{name: raw[name] for name in names - {"schema", "eos_ids"}}, eos_ids=tuple(ids))


def sampling_of(parameters: Mapping[str, Parameter]) -> Sampling:
    """The parameters of a request by the Open Inference Protocol; `stop` is one string there."""
    if unknown := sorted(set(parameters) - set(PARAMETERS)):
        raise InvalidRequest(f"{len(unknown)} parameters are unknown: a text generator takes {', '.join(PARAMETERS)}")
    given: dict[str, Any] = {"max_tokens": PREDICT_MAX_TOKENS, **parameters}
    if "stop" in given:
        given["stop"] = (given["stop"],)
    return Sampling(**given)


def completion_features(prompt_tokens: Sequence[int], completions: Sequence[Completion]) -> Features:
    """What the profile counts of texts: how long, how they ended, and how sure the model was of what it chose."""
    free = [[token.logprob for token in each.tokens if not token.is_forced] for each in completions]
    return {
        "prompt_tokens": list(prompt_tokens),
        "tokens": [each.token_count for each in completions],
        "finish_reason": [each.finish_reason for each in completions],
        "logprob": [round(sum(logprobs) / max(len(logprobs), 1), 6) for logprobs in free],
    }
