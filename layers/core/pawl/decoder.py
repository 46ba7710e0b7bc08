"""A language model's graph run token by token, over a cache of its own that outlives the text.

Past and present share one buffer a layer, bound once: a step computes one token and moves nothing. The cache remembers
which tokens it holds, so a prompt that begins alike is not computed again. What surprises: a token computed alone
differs from the same token computed among others in the last bits, and quantized layers make that visible. `exact`
therefore reuses only what was computed as part of a prompt, never alone, and gives the bits of an empty cache.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort

from pawl.errors import InvalidBundle

Floats = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, Any]
TYPES: Mapping[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
SMALLEST = 512
# A prompt is computed in pieces of this many tokens: as fast as whole (its activations stay in the processor's caches),
# in bounded memory, and the deadline is looked at in between.
PIECE = 256


@dataclass(frozen=True, slots=True)
class Shape:
    """The cache's shape: layers, heads, values a head, and the most tokens that it may hold."""

    layers: int
    kv_heads: int
    head_size: int
    context: int


class Decoder:
    """One session with its cache; used by one thread at a time. `computed` counts the tokens ever run."""

    def __init__(self, session: ort.InferenceSession, shape: Shape) -> None:
        self._session = session
        self._shape = shape
        inputs, outputs = _borders(session, shape.layers)
        self._takes_mask = "attention_mask" in inputs
        self._type = _type_of(inputs["past_key_values.0.key"])
        self.vocabulary: int = outputs["logits"].shape[2]
        self._next_id = np.zeros((1, 1), np.int64)
        self._logits = np.zeros((1, 1, self.vocabulary), _type_of(outputs["logits"]))
        self._mask = np.ones((1, shape.context), np.int64)
        self._mask_address = self._mask.ctypes.data
        self._binding: Any = session.io_binding()
        self._cache: dict[str, Array] = {}
        self._capacity = 0
        self._tokens: list[int] = []
        self._exact = 0
        self._is_stepping = False
        self.computed = 0

    def prefill(self, prompt: Sequence[int], *, exact: bool, deadline: Callable[[], bool]) -> Floats | None:
        """The logits after the prompt's last token, shape (vocabulary,); None when the deadline came first.

        At least the last two tokens are computed, together: a token alone would not be exact.
        """
        self._forget(self._common(prompt, exact))
        return self._go_on(prompt, deadline)

    def extend(self, tokens: Sequence[int], *, deadline: Callable[[], bool]) -> Floats | None:
        """The logits after these tokens of a text, one or more, as `step` has them; None when the deadline came first.

        Several together take far less time than one after the other: four as long as less than two.
        """
        if len(tokens) == 1:
            return None if deadline() else self.step(tokens[0])
        return self._go_on([*self._tokens, *tokens], deadline)

    def step(self, token: int) -> Floats:
        """The logits after one more token, shape (vocabulary,), in a buffer that the next step overwrites."""
        position = len(self._tokens)
        self._grow(position + 1)
        if not self._is_stepping:
            self._bind_input("input_ids", self._next_id)
            self._bind_output("logits", self._logits)
            self._is_stepping = True
        self._next_id[0, 0] = token
        self._bind_mask(position + 1)
        self._session.run_with_iobinding(self._binding)
        self._tokens.append(token)
        self.computed += 1
        return _row(self._logits)

    def _go_on(self, whole: Sequence[int], deadline: Callable[[], bool]) -> Floats | None:
        """Run what is not yet cached of a whole that begins with what is."""
        start = len(self._tokens)
        self._grow(len(whole))
        logits = None
        while start < len(whole):
            if deadline():
                return None
            end = _end_of_piece(start, len(whole))
            logits = self._run(whole[start:end])
            if start == self._exact and (end - start > 1 or start == 0):
                self._exact = end
            start = end
        return logits

    def _common(self, prompt: Sequence[int], exact: bool) -> int:
        """How many of the prompt's first tokens need not be computed."""
        known = self._tokens[: self._exact] if exact else self._tokens
        limit = min(len(known), max(len(prompt) - 2, 0))
        return next((i for i in range(limit) if known[i] != prompt[i]), limit)

    def _forget(self, start: int) -> None:
        del self._tokens[start:]
        self._exact = min(self._exact, start)

    def _run(self, tokens: Sequence[int]) -> Floats:
        position = len(self._tokens)
        ids = np.array([tokens], np.int64)
        self._is_stepping = False
        self._bind_input("input_ids", ids)
        self._binding.bind_output("logits", "cpu")
        self._bind_mask(position + len(tokens))
        self._session.run_with_iobinding(self._binding)
        self._tokens += tokens
        self.computed += len(tokens)
        logits: Array = self._binding.get_outputs()[self._place_of_logits].numpy()
        return _row(logits)

    def _grow(self, tokens: int) -> None:
        """Room for so many tokens: doubled from the smallest up to the context, what is cached kept."""
        if tokens <= self._capacity:
            return
        capacity = max(self._capacity, min(SMALLEST, self._shape.context))
        while capacity < tokens:
            capacity = min(2 * capacity, self._shape.context)
        used = len(self._tokens)
        for name in _cache_names(self._shape.layers):
            wider = np.zeros((1, self._shape.kv_heads, capacity, self._shape.head_size), self._type)
            if used:
                wider[:, :, :used] = self._cache[name][:, :, :used]
            self._cache[name] = wider
        self._capacity = capacity
        self._bind_cache()

    def _bind_cache(self) -> None:
        self._binding = self._session.io_binding()
        self._is_stepping = False
        for name, buffer in self._cache.items():
            self._bind_input(f"past_key_values.{name}", buffer)
            self._bind_output(f"present.{name}", buffer)
        self._place_of_logits = len(self._cache)

    def _bind_mask(self, tokens: int) -> None:
        if self._takes_mask:
            self._binding.bind_input("attention_mask", "cpu", 0, np.int64, (1, tokens), self._mask_address)

    def _bind_input(self, name: str, array: Array) -> None:
        self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def _bind_output(self, name: str, array: Array) -> None:
        self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _end_of_piece(start: int, length: int) -> int:
    """Where the piece of a prompt that begins at `start` ends; no piece leaves a single token to the next."""
    end = min(start + PIECE, length)
    return end - 1 if length - end == 1 else end


def _row(logits: Array) -> Floats:
    return logits[0, -1].astype(np.float32, copy=False)


def _cache_names(layers: int) -> list[str]:
    return [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def _type_of(tensor: Any) -> type[np.generic]:
    if tensor.type not in TYPES:
        raise InvalidBundle(f"model.onnx: {tensor.name} is {tensor.type}, want one of {', '.join(TYPES)}")
    return TYPES[tensor.type]


def _borders(session: Any, layers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The graph's inputs and outputs by name; InvalidBundle when they are not a decoder's."""
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    names = _cache_names(layers)
    if inputs.keys() - {"attention_mask"} != {"input_ids", *(f"past_key_values.{name}" for name in names)}:
        raise InvalidBundle(f"model.onnx: want the inputs input_ids, attention_mask and a cache of {layers} layers")
    if outputs.keys() != {"logits", *(f"present.{name}" for name in names)}:
        raise InvalidBundle(f"model.onnx: want the outputs logits and a cache of {layers} layers")
    return inputs, outputs
