"""How like its float model a quantized decoder is: both score the same text, the quantized one as it is served.

The served graph takes one token at a time over the shared cache, which is also how its speed is measured.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from pawl.model import open_session

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cache:
    """The shape of a decoder's cache, and how many tokens it knows."""

    layers: int
    kv_heads: int
    head_size: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """Both models on one text: `tokens` predicted, the perplexity of each, and how far the served one strays.

    `next_token_agreement` is the share of places where both find the same token likeliest; `divergence` the mean
    Kullback-Leibler divergence of the served distribution from the float one, in nats.
    """

    tokens: int
    float_perplexity: float
    perplexity: float
    next_token_agreement: float
    divergence: float


def compare(wanted: Floats, got: Floats, ids: Sequence[int]) -> Likeness:
    """The likeness of two models' logits, shape (tokens, vocabulary), on a text of these tokens."""
    truth = np.array(ids[1:])
    old, new = (_log_shares(logits[:-1].astype(np.float64)) for logits in (wanted, got))
    places = np.arange(len(truth))
    return Likeness(
        tokens=len(truth),
        float_perplexity=round(math.exp(-old[places, truth].mean()), 3),
        perplexity=round(math.exp(-new[places, truth].mean()), 3),
        next_token_agreement=round(float((old.argmax(1) == new.argmax(1)).mean()), 4),
        divergence=round(float((np.exp(old) * (old - new)).sum(1).mean()), 5),
    )


def float_scores(model: PreTrainedModel, ids: Sequence[int]) -> Floats:
    """The float model's logits after each token: (tokens, vocabulary)."""
    with torch.inference_mode():
        return model(input_ids=torch.tensor([list(ids)])).logits[0].float().numpy()


def served_scores(graph: Path, cache: Cache, ids: Sequence[int], threads: int = 1) -> tuple[Floats, float]:
    """The served graph's logits after each token, (tokens, vocabulary), and the median seconds of a token."""
    session = open_session(str(graph), threads)
    step = _stepper(session, cache, len(ids))
    scores = np.empty((len(ids), cache.vocabulary), np.float32)
    took: list[float] = []
    for place, token in enumerate(ids):
        began = time.perf_counter()
        logits = step(token, place)
        took.append(time.perf_counter() - began)
        scores[place] = logits
    return scores, median(took)


def _stepper(session: Any, cache: Cache, tokens: int) -> Any:
    """Runs one token after `place` others and gives its logits, by bound buffers that are never copied."""
    binding = session.io_binding()
    token, mask = np.zeros((1, 1), np.int64), np.ones((1, tokens), np.int64)
    logits = np.zeros((1, 1, cache.vocabulary), np.float32)
    shape = (1, cache.kv_heads, tokens, cache.head_size)
    names = [f"{layer}.{part}" for layer in range(cache.layers) for part in ("key", "value")]
    buffers = {name: np.zeros(shape, np.float32) for name in names}
    for name, buffer in buffers.items():
        binding.bind_input(f"past_key_values.{name}", "cpu", 0, np.float32, shape, buffer.ctypes.data)
        binding.bind_output(f"present.{name}", "cpu", 0, np.float32, shape, buffer.ctypes.data)
    binding.bind_input("input_ids", "cpu", 0, np.int64, token.shape, token.ctypes.data)
    binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)

    def step(value: int, place: int) -> Floats:
        assert buffers  # onnxruntime holds their addresses only
        token[0, 0] = value
        binding.bind_input("attention_mask", "cpu", 0, np.int64, (1, place + 1), mask.ctypes.data)
        session.run_with_iobinding(binding)
        return cast("Floats", logits[0, 0])

    return step


def _log_shares(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
