"""The texts of one OpenAI request, as they grow: whichever way they end, they are counted once and captured once.

A text that its client leaves is captured too, as far as it went, with the finish reason `cancelled`. Texts are made
one after another, for a generator makes one at a time.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.prompts import Options
from inference.service import Call, Service, timed
from pawl.errors import ClientLeft
from pawl.records import CaptureRecord

if TYPE_CHECKING:
    from pawl.completion import Piece, Token
    from pawl.generator import TextGenerator

CANCELLED = "cancelled"
FAILED = "error"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as token ids; `text` is what the captured record shows of it."""

    ids: Sequence[int]
    text: str


@dataclass(slots=True)
class Choice:
    """One text of the reply; `token_count` counts those of a stop string too, `is_cut`: the deadline has ended it."""

    index: int
    prompt: Prompt
    texts: list[str] = field(default_factory=list[str])
    tokens: list["Token"] = field(default_factory=list["Token"])
    finish_reason: str | None = None
    token_count: int = 0
    is_cut: bool = False

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    def add(self, piece: "Piece") -> None:
        """Let the text grow by a piece."""
        self.texts.append(piece.text)
        self.tokens += piece.tokens
        self.finish_reason = piece.finish_reason
        self.token_count = piece.token_count


class Deadline:
    """Says when a text must end now, and remembers having said so."""

    def __init__(self, remaining_s: Callable[[], float]) -> None:
        self._remaining_s = remaining_s
        self.has_passed = False

    def __call__(self) -> bool:
        self.has_passed = self.has_passed or self._remaining_s() <= 0
        return self.has_passed


class Generation:
    """The texts to `prompts`, `options.n` for each; what is wrong with any of them is raised before the first begins.

    `column` is the name under which the record keeps the prompts.
    """

    def __init__(
        self,
        service: Service,
        model: "TextGenerator",
        prompts: Sequence[Prompt],
        options: Options,
        column: str,
        call: Call,
    ) -> None:
        self.manifest = model.manifest
        self.digest = model.digest
        self.options = options
        self.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
        self.choices = [Choice(i, prompts[i // options.n]) for i in range(len(prompts) * options.n)]
        self._service = service
        self._column = column
        self._deadline = Deadline(call.remaining_s)
        self._streams = [
            model.stream(choice.prompt.ids, options.sampling_of(choice.index % options.n), self._deadline)
            for choice in self.choices
        ]
        self._took_ns = 0
        payload = "\0".join(prompt.text for prompt in prompts).encode()
        self._size = len(payload)
        self.inference_id, self.unix_ms = service.receipt(self.manifest, len(self.choices), payload, call)

    def pieces(self) -> Iterator[tuple[Choice, "Piece"]]:
        """Every piece with the text that it belongs to, which has grown by it already."""
        ending = CANCELLED
        try:
            for choice, stream in zip(self.choices, self._streams, strict=True):
                while piece := self._next(stream):
                    choice.add(piece)
                    choice.is_cut = piece.finish_reason == "length" and self._deadline.has_passed
                    yield choice, piece
            ending = ""
        except ClientLeft:
            raise
        except Exception:
            ending = FAILED
            raise
        finally:
            self._streams.clear()  # closes the one that goes on, so that the generator is free
            self._end(ending)

    def usage(self) -> Mapping[str, int]:
        """How many tokens came in and went out; a prompt counts once, however many texts it gets."""
        completion_tokens = sum(choice.token_count for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }

    def _next(self, stream: Iterator["Piece"]) -> "Piece | None":
        began = time.perf_counter_ns()
        try:
            return next(stream, None)
        finally:
            self._took_ns += time.perf_counter_ns() - began

    def _end(self, ending: str) -> None:
        """Count and capture; nobody has seen a text that failed, unless it was streamed."""
        statistics = self._service.statistics
        if ending == FAILED:
            statistics.count_failure(self.manifest, self._took_ns)
        else:
            statistics.count_success(self.manifest, len(self.choices), self._took_ns, self.unix_ms)
        if ending != FAILED or (self.options.is_stream and any(choice.tokens for choice in self.choices)):
            record = self._captured(ending)  # made at once: it is small beside the tokens that it is made of
            size = self._size + sum(len(choice.text) for choice in self.choices)
            self._service.record(lambda: record, size, self.options.user)

    def _captured(self, ending: str) -> CaptureRecord:
        from pawl.completion import Completion
        from pawl.generator import completion_features

        done = [
            Completion(each.text, tuple(each.tokens), each.finish_reason or ending, each.token_count, each.is_cut)
            for each in self.choices
        ]
        return CaptureRecord(
            self.inference_id,
            self.manifest.name,
            self.manifest.version,
            self.unix_ms,
            {self._column: [each.prompt.text for each in self.choices]},
            {"text": [each.text for each in done], "finish_reason": [each.finish_reason for each in done]},
            timed(completion_features([len(each.prompt.ids) for each in self.choices], done), len(done), self._took_ns),
        )
