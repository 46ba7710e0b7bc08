"""A service over a generator and an embedder that say the same thing every time, for the tests of the OpenAI routes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inference import openai
from inference.service import Call, Reply, Service, Stream
from pawl.bundle import Manifest, Tensor
from pawl.completion import Piece, Token
from pawl.errors import InvalidBundle, InvalidRequest, NotFound
from pawl.model import Answer
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.sampling import Sampling

KEYS = ReceiptKeys("1:" + "s" * 32)
SAID = ("Polly", " wants", " a", " nut")
IN_TIME = Call("7")
HELLO = [{"role": "user", "content": "say it"}]


class Parrot:
    """Says the same four words, the first one with its seed; a word is a token, and `fails_at` ends it badly there.

    `stop_tokens` are those of a stop string that follows.
    """

    context = 32
    vocabulary = 100

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = replace(manifest, name="parrot", kind="text-generator")
        self.digest = "0123456789abcdef" * 4
        self.fails_at: int | None = None
        self.stop_tokens = 0
        self.seen: list[Any] = []
        self.is_busy = False

    def chat_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        self.seen.append(messages)
        return [7, *self.text_ids(" ".join(each["content"] for each in messages))]

    def text_ids(self, text: str) -> list[int]:
        return [len(word) % self.vocabulary for word in text.split()]

    def stream(self, prompt: Sequence[int], sampling: Sampling, deadline: Callable[[], bool]) -> Iterator[Piece]:
        if sampling.json_schema == {"type": "riddle"}:
            raise InvalidRequest("json_schema cannot be enforced")
        self.seen.append(sampling)
        return self._pieces(sampling, deadline)

    def _pieces(self, sampling: Sampling, deadline: Callable[[], bool]) -> Iterator[Piece]:
        words = [SAID[0] + (str(sampling.seed) if sampling.seed else ""), *SAID[1:]]
        self.is_busy = True
        try:
            for i, word in enumerate(words):
                if i == self.fails_at:
                    raise RuntimeError("the parrot bit somebody called Ada")
                if deadline():
                    yield Piece("", (), "length", i)
                    return
                is_last = i + 1 == (sampling.max_tokens or 99)
                yield Piece(word, (self._token(words, i, sampling),), "length" if is_last else None, i + 1)
                if is_last:
                    return
            yield Piece("", (), "stop", len(words) + self.stop_tokens)
        finally:
            self.is_busy = False

    def _token(self, words: list[str], place: int, sampling: Sampling) -> Token:
        data = words[place].encode()
        others = (b"\xf0\x9f", -2.5), (b"\xe7\x8c", -3.5), (b"\xf0\x9f", float("-inf"))
        return Token(
            data, -0.25, ((data, -0.25), *others) if sampling.top_logprobs else (), len("".join(words[:place]))
        )


class Embedder:
    """The vector of a text: how many words it has, and how many letters."""

    def __init__(self, manifest: Manifest) -> None:
        outputs = [Tensor("embedding", "FP32", [-1, 2])]
        self.manifest = replace(manifest, name="embed", kind="text-embedder", outputs=outputs)
        self.digest = "e" * 64

    def predict(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any] = {}) -> Answer:
        if "bite" in inputs["text"]:
            raise RuntimeError("the embedder bit somebody called Ada")
        sizes = [(len(text.split()), len(text) / 10) for text in inputs["text"]]
        return Answer({"embedding": np.array(sizes, np.float32)}, lambda: {"tokens": [words for words, _ in sizes]})


class Shelf:
    """An engine over what the test gives it."""

    def __init__(self, **models: Any) -> None:
        self._models = models

    def get(self, name: str, version: str | None = None) -> Any:
        if name == "broken":
            raise InvalidBundle("broken 1: model.onnx is missing")
        if name not in self._models or version not in (None, "live", "3"):
            raise NotFound(f"no model {name!r} here")
        return self._models[name]


class World:
    """A service over the fakes, and what it captured."""

    def __init__(self, manifest: Manifest) -> None:
        self.parrot, self.embedder = Parrot(manifest), Embedder(manifest)
        self.offered: list[Callable[[], CaptureRecord]] = []
        shelf = Shelf(parrot=self.parrot, embed=self.embedder, triage=ParrotsKeeper(manifest))
        self.service = Service(shelf, KEYS, self, row_limit=4)  # type: ignore[arg-type]

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None:
        self.offered.append(make)

    def ask(self, route: str, call: Call = IN_TIME, **body: Any) -> Any:
        """The reply's body; it must be a success."""
        reply = openai.ROUTES[route](self.service, json.dumps(body), call)
        assert isinstance(reply, Reply)
        assert (reply.status, reply.content_type) == (200, "application/json"), reply.body
        return json.loads(reply.body)

    def chat(self, **fields: Any) -> Any:
        return self.ask("chat/completions", **{"model": "parrot", "messages": HELLO, **fields})

    def complete(self, **fields: Any) -> Any:
        return self.ask("completions", **{"model": "parrot", "prompt": "say it", **fields})

    def embed(self, **fields: Any) -> Any:
        return self.ask("embeddings", **{"model": "embed", "input": "say it", **fields})

    def stream(self, route: str, call: Call = IN_TIME, **body: Any) -> Iterator[str]:
        answer = openai.ROUTES[route](self.service, json.dumps({"model": "parrot", "stream": True, **body}), call)
        assert isinstance(answer, Stream)
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        return answer.chunks

    def error(self, route: str, body: Any) -> tuple[int, dict[str, Any]]:
        """The status and the error of a request that is refused."""
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        reply = openai.ROUTES[route](self.service, text, IN_TIME)
        assert isinstance(reply, Reply)
        answered = json.loads(reply.body)
        assert answered.keys() == {"error"}
        assert answered["error"].keys() == {"message", "type", "param", "code"}
        return reply.status, answered["error"]

    def counts(self, name: str = "parrot") -> tuple[int, int, int]:
        """Requests answered, rows in them, requests failed."""
        about = self.service.statistics.report([(name, "3")])["model_stats"][0]
        stats = about["inference_stats"]
        return stats["success"]["count"], about["inference_count"], stats["fail"]["count"]


class ParrotsKeeper:
    """A classifier: no parrot, no embedder."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.digest = "c" * 64


def events(chunks: Iterator[str]) -> list[Any]:
    """The events of a stream; `[DONE]` ends it and is left out."""
    texts = [chunk.removeprefix("data: ").removesuffix("\n\n") for chunk in chunks]
    assert texts.pop() == "[DONE]"
    return [json.loads(text) for text in texts]


def late_after(looks: int) -> Call:
    """A call whose time is up when it has been looked at so many times."""
    left = iter([1.0] * looks)
    return Call("7", lambda: next(left, -0.1))
