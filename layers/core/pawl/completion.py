"""One text on its way: what a decoder says next is chosen, made text, and given out as it settles.

A text holds its generator's lock from its first piece to its last: two at once wait for each other, so streams taken in
turns by one thread would wait for ever.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pawl.decoder import Decoder, Floats
from pawl.detokenizer import TextStream, TokenBytes
from pawl.sampling import Choice, Sampler, Sampling

if TYPE_CHECKING:
    from pawl.constraint import Constraint

_LOOK_S = 0.1
"""How often a text that waits for its turn looks at its deadline."""


class Token(NamedTuple):
    """A token of the text; `data` are its bytes, `top` the likeliest tokens there and their log probabilities.

    `offset` is the place in the text of the character in which it begins. One that `is_forced`, for JSON allows nothing
    else in its place, has a log probability of 0 unless they were asked for.
    """

    data: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...]
    offset: int
    is_forced: bool = False


class Piece(NamedTuple):
    """Text that is settled, and its tokens; `finish_reason` is None while it goes on, then "stop" or "length".

    `token_count` counts all tokens since the text began, those of a stop string too.
    """

    text: str
    tokens: tuple[Token, ...]
    finish_reason: str | None
    token_count: int


class Completion(NamedTuple):
    """A whole text. `token_count` counts those of a stop string too; `is_cut`: the deadline ended it."""

    text: str
    tokens: tuple[Token, ...]
    finish_reason: str
    token_count: int
    is_cut: bool


def never() -> bool:
    """The deadline of those who have none."""
    return False


class Parts(NamedTuple):
    """What every text of a generator shares."""

    decoder: Decoder
    bytes_of: TokenBytes
    vocabulary: int
    eos_ids: tuple[int, ...]
    lock: threading.Lock


class Request(NamedTuple):
    """What a text begins with, how its tokens are chosen, how many there may be, and when it must end."""

    prompt: tuple[int, ...]
    sampling: Sampling
    limit: int
    deadline: Callable[[], bool]


class Text:
    """One text on its way. `token_count` counts its tokens so far; `is_cut`: the deadline has ended it."""

    def __init__(self, parts: Parts, request: Request, constraint: "Constraint | None") -> None:
        """`constraint`: what JSON allows next, where it must be JSON."""
        self._parts = parts
        self._request = request
        self._constraint = constraint
        self._sampler = Sampler(request.sampling, request.prompt, parts.vocabulary)
        self._stream = TextStream(request.sampling.stop)
        self._waiting: deque[tuple[Token, int]] = deque()
        self.token_count = 0
        self.is_cut = False

    def pieces(self) -> Iterator[Piece]:
        """The text piece by piece as it settles; it holds the generator's lock from the first to the last."""
        lock = self._parts.lock
        while not lock.acquire(timeout=_LOOK_S):
            if self._request.deadline():
                yield self._cut()
                return
        try:
            yield from self._pieces()
        finally:
            lock.release()

    def _pieces(self) -> Iterator[Piece]:
        chosen: tuple[Choice, ...] = ()
        while True:
            text, taken = "", list[int]()
            for choice in chain(chosen, self._forced()):
                text += self._take(choice)
                taken.append(choice.token)
                if reason := self._end(choice.token):
                    yield self._last(text, reason)
                    return
            if text:
                yield Piece(text, self._settled(), None, self.token_count)
            logits = self._run(taken, is_first=not chosen)
            if logits is None:
                yield self._cut()
                return
            chosen = (self._choose(logits),)

    def _run(self, taken: Sequence[int], *, is_first: bool) -> Floats | None:
        """The logits after the tokens that were taken last; None when the deadline came first."""
        decoder, request = self._parts.decoder, self._request
        if is_first:
            exact = request.sampling.is_repeatable
            return decoder.prefill((*request.prompt, *taken), exact=exact, deadline=request.deadline)
        return decoder.extend(taken, deadline=request.deadline)

    def _forced(self) -> Iterator[Choice]:
        """The tokens that must come next: they are run together, unless log probabilities are to be told of each."""
        if self._constraint and self._request.sampling.top_logprobs is None:
            yield from map(self._sampler.force, self._constraint.forced())

    def _choose(self, logits: Floats) -> Choice:
        logits = logits[: self._parts.vocabulary]
        if self._constraint is None:
            return self._sampler.choose(logits)
        allowed = self._constraint.allowed()
        return self._sampler.choose(logits, allowed)._replace(is_forced=np.count_nonzero(allowed) == 1)

    def _take(self, choice: Choice) -> str:
        """The text that a token settles; none for one that ends the text."""
        if choice.token in self._parts.eos_ids:
            return ""
        if self._constraint:
            self._constraint.accept(choice.token)
        self.token_count += 1
        data = self._parts.bytes_of[choice.token]
        text = self._stream.feed(data)
        top = tuple((self._parts.bytes_of[token], logprob) for token, logprob in choice.top)
        token = Token(data, choice.logprob, top, self._stream.began, choice.is_forced)
        self._waiting.append((token, self._stream.seen))
        return text

    def _end(self, token: int) -> str | None:
        """Why the text ends after this token, if it does."""
        if token in self._parts.eos_ids or self._stream.is_stopped:
            return "stop"
        if self._constraint and self._constraint.is_complete:
            return "stop"
        return "length" if self.token_count >= self._request.limit else None

    def _settled(self) -> tuple[Token, ...]:
        """The tokens whose text has gone out whole."""
        found: list[Token] = []
        while self._waiting and self._waiting[0][1] <= self._stream.settled:
            found.append(self._waiting.popleft()[0])
        return tuple(found)

    def _cut(self) -> Piece:
        """The end of a text whose deadline has come."""
        self.is_cut = True
        return self._last("", "length")

    def _last(self, text: str, reason: str) -> Piece:
        """What was held back, and the tokens of which any text has gone out."""
        text += self._stream.end()
        whole = self._settled()
        part = [token for token, _ in self._waiting if token.offset < self._stream.settled]
        return Piece(text, (*whole, *part), reason, self.token_count)
