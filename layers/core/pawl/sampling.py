"""From the logits of a language model to the next token, in numpy.

In order: penalties, temperature, the `top_k` likeliest, of these the likeliest that together reach `top_p`, of these
those at least `min_p` times as likely as the likeliest. A token takes one random number, whatever the settings, so that
a seed means the same text. Log probabilities are the model's own, before any of this, as OpenAI reports them.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pawl.errors import InvalidRequest, PawlError

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ids = np.ndarray[Any, np.dtype[np.int64]]
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repetition_penalty": (0.1, 10),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
WHOLE_RANGES: Mapping[str, tuple[int, int]] = {
    "max_tokens": (1, 2**31 - 1),
    "top_k": (0, 2**31 - 1),
    "seed": (-(2**63), 2**63 - 1),
    "top_logprobs": (0, 20),
}
OPTIONAL = ("max_tokens", "seed", "top_logprobs")
STOPS, STOP_LENGTH = 16, 256
# How often to close in on the last of the tokens that reach `top_p`, and how many tokens are few enough to be sorted.
CLOSER, FEW = 16, 512
BLOCK = 64
LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a text goes on, and when it ends; InvalidRequest names the field and its range.

    `max_tokens` None: up to the context. `temperature` 0: always the likeliest token. `top_k` 0: all. `seed` None:
    another text each time. `top_logprobs` None: no log probabilities are asked for. `json`: any JSON object;
    `json_schema`: a JSON value that the schema allows. `presence_penalty` and `frequency_penalty` look at the text,
    `repetition_penalty` at the prompt too.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_logprobs: int | None = None
    json: bool = False
    json_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            _require(name, getattr(self, name), (int, float), low, high)
        for name, (low, high) in WHOLE_RANGES.items():
            if not (name in OPTIONAL and getattr(self, name) is None):
                _require(name, getattr(self, name), (int,), low, high)
        if len(self.stop) > STOPS or not all(_is_stop(text) for text in self.stop):
            raise InvalidRequest(f"stop: want at most {STOPS} strings of 1 to {STOP_LENGTH} characters")
        if self.is_constrained and self.stop:
            raise InvalidRequest("stop cannot be combined with JSON: the end of the JSON value ends the text")

    @property
    def is_constrained(self) -> bool:
        """Whether the text must be JSON."""
        return self.json or self.json_schema is not None

    @property
    def is_repeatable(self) -> bool:
        """Whether the same request is to give the same text."""
        return self.seed is not None or self.temperature == 0


class Choice(NamedTuple):
    """A token with its log probability, and the likeliest tokens with theirs if they were asked for.

    One `is_forced` where nothing else may stand.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    is_forced: bool = False


class Sampler:
    """Chooses the tokens of one text; keeps what the penalties need to know of it."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocabulary: int) -> None:
        self._sampling = sampling
        seed = sampling.seed
        self._random = random.Random() if seed is None else random.Random(seed & (2**64 - 1))
        self._counts = np.zeros(vocabulary, np.float32)
        self._is_counting = bool(sampling.presence_penalty or sampling.frequency_penalty)
        self._seen = np.zeros(vocabulary, bool)
        if sampling.repetition_penalty != 1:
            self._seen[np.asarray(prompt, np.int64)] = True

    def choose(self, logits: Floats, allowed: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> Choice:
        """The next token; `logits`, shape (vocabulary,), are spent. `allowed` marks the tokens that may follow."""
        highest = _highest(logits)
        log_sum = highest + math.log(float(np.exp(logits - highest).sum()))
        top = self._top(logits, log_sum)
        raw = logits.copy() if self._changes_logits(allowed) else logits
        self._penalize(logits)
        if allowed is not None:
            logits[~allowed] = -np.inf
        token = self._draw(logits)
        self._count(token)
        return Choice(token, float(raw[token]) - log_sum, top)

    def force(self, token: int) -> Choice:
        """The next token where nothing else may stand, which no logits are needed for; it counts as any other."""
        self._random.random()
        self._count(token)
        return Choice(token, 0.0, (), is_forced=True)

    def _draw(self, logits: Floats) -> int:
        number = self._random.random()
        if self._sampling.temperature == 0:
            _highest(logits)
            return int(logits.argmax())
        return draw(logits, self._sampling, number)

    def _top(self, logits: Floats, log_sum: float) -> tuple[tuple[int, float], ...]:
        if not self._sampling.top_logprobs:
            return ()
        best = likeliest(logits, self._sampling.top_logprobs)
        return tuple((int(i), float(logits[i]) - log_sum) for i in best)

    def _changes_logits(self, allowed: Any) -> bool:
        return allowed is not None or self._is_counting or self._sampling.repetition_penalty != 1

    def _penalize(self, logits: Floats) -> None:
        sampling = self._sampling
        if sampling.repetition_penalty != 1:
            seen = np.flatnonzero(self._seen)
            values = logits[seen]
            penalty = np.float32(sampling.repetition_penalty)
            logits[seen] = np.where(values > 0, values / penalty, values * penalty)
        if self._is_counting:
            used = np.flatnonzero(self._counts)
            logits[used] -= sampling.presence_penalty + sampling.frequency_penalty * self._counts[used]

    def _count(self, token: int) -> None:
        self._seen[token] = True
        self._counts[token] += 1


def draw(logits: Floats, sampling: Sampling, number: float) -> int:
    """The token that a random `number` from [0, 1) picks from the logits, shape (vocabulary,), cut by `sampling`."""
    ids, chances = _candidates(logits, sampling)
    if sampling.min_p > 0:
        kept = np.flatnonzero(chances >= sampling.min_p * chances.max())
        ids, chances = kept if ids is None else ids[kept], chances[kept]
    place = _pick(chances, number)
    return place if ids is None else int(ids[place])


def likeliest(logits: Floats, count: int) -> Ids:
    """The tokens of the `count` highest finite logits, highest first; of equals the smaller first.

    The maxima of small blocks bound the last of them from below, so that only a few logits are sorted.
    """
    floor = LOWEST
    blocks = len(logits) // BLOCK
    if count <= blocks:
        maxima = logits[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
        floor = max(floor, float(np.partition(maxima, blocks - count)[blocks - count]))
    ids = np.flatnonzero(logits >= floor)
    return ids[np.argsort(-logits[ids], kind="stable")[:count]]


def _candidates(logits: Floats, sampling: Sampling) -> tuple[Ids | None, Floats]:
    """Tokens (None: every one) and their chances, not summing to one, after top_k and top_p."""
    scale = np.float32(1 / max(sampling.temperature, 1e-6))
    highest = _highest(logits)
    if 0 < sampling.top_k < len(logits):
        ids = likeliest(logits, sampling.top_k)
        chances = np.exp((logits[ids] - highest) * scale)
        kept = _reaching(chances, sampling.top_p * float(chances.sum()))
        return ids[:kept], chances[:kept]
    chances = np.exp((logits - highest) * scale)
    if sampling.top_p == 1:
        return None, chances
    return _nucleus(chances, sampling.top_p * float(chances.sum()))


def _nucleus(chances: Floats, wanted: float) -> tuple[Ids, Floats]:
    """The fewest likeliest tokens whose chances, of which the highest is 1, together reach `wanted`.

    Closes in on the chance of the last of them, so that only the tokens near it are sorted: sorting all takes ten times
    as long.
    """
    low, high, above, step = 0.0, 1.0, 0.0, 1.0
    for _ in range(CLOSER):
        step = (low * high) ** 0.5 if low else step / 16
        more = chances > step
        total = float(chances @ more)
        low, high, above = (step, high, above) if total >= wanted else (low, step, total)
        if low and np.count_nonzero(chances > low) - np.count_nonzero(chances > high) < FEW:
            break
    sure = np.flatnonzero(chances > high)
    rest = np.flatnonzero((chances > low) & (chances <= high))
    rest = rest[np.argsort(-chances[rest], kind="stable")]
    ids = np.concatenate([sure, rest[: _reaching(chances[rest], wanted - above)]])
    return ids, chances[ids]


def _reaching(chances: Floats, wanted: float) -> int:
    """How many of the first chances it takes to reach `wanted`; at least one, and all when they do not reach it."""
    return min(int(chances.cumsum(dtype=np.float64).searchsorted(wanted)) + 1, len(chances))


def _pick(chances: Floats, number: float) -> int:
    """The place where the running sum passes `number` of the whole; block by block, since summing up is slow."""
    whole = len(chances) // BLOCK
    sums = np.zeros(whole + 1, np.float64)
    sums[:whole] = chances[: whole * BLOCK].reshape(whole, BLOCK).sum(axis=1)
    sums[whole] = chances[whole * BLOCK :].sum()
    reached = sums.cumsum()
    goal = number * reached[-1]
    block = _passing(reached, goal)
    within = chances[block * BLOCK : (block + 1) * BLOCK].cumsum(dtype=np.float64)
    return block * BLOCK + _passing(within, goal - (reached[block] - sums[block]))


def _passing(sums: np.ndarray[Any, np.dtype[np.float64]], goal: float) -> int:
    """Where running sums first exceed `goal`; where they end, when rounding has put `goal` above them all."""
    total: float = sums[-1]
    return min(int(sums.searchsorted(goal, side="right")), int(sums.searchsorted(total)))


def _highest(logits: Floats) -> float:
    highest = float(logits.max())
    if not math.isfinite(highest):
        raise PawlError("the model gave no finite logits for the next token")
    return highest


def _require(name: str, value: Any, kinds: tuple[type, ...], low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a number" if float in kinds else "a whole number"
        raise InvalidRequest(f"{name}: want {kind} from {low:g} to {high:g}")


def _is_stop(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= STOP_LENGTH
