"""How likely a text generator, as it is served, finds a given answer: a token at a time, so for few texts."""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.completion import never
from pawl.decoder import Decoder, Shape
from pawl.examples import Prompt
from pawl.generator import TextGenerator, parse_generation
from pawl.model import open_session
from pawl.pairset import PairRow
from pawl.winning import WinRate, win_rate

Opposed = tuple[tuple[Prompt, str], tuple[Prompt, str]]
"""Two answers, each after its prompt, the better one first."""


class Likelihood:
    """How likely a bundle, as served, finds a given answer to a prompt."""

    def __init__(self, bundle: Bundle) -> None:
        self._generator = TextGenerator(bundle)
        about = parse_generation((bundle.path / "generation.json").read_bytes())
        shape = Shape(about.layers, about.kv_heads, about.head_size, about.context)
        self._decoder = Decoder(open_session(str(bundle.path / "model.onnx"), 1), shape)
        self._tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        self._tokenizer.encode_special_tokens = True  # those that an answer spells out are text
        named = self._tokenizer.token_to_id(about.eos_token) if about.eos_token else None
        self._end = about.eos_ids[0] if named is None else named

    def of(self, prompt: Prompt, answer: str, most_tokens: int) -> float:
        """The log probability of the answer's first tokens, the end of the text included."""
        ids = prompt_ids(self._generator, prompt)
        said = [*self._tokenizer.encode(answer, add_special_tokens=False).ids, self._end][:most_tokens]
        logits = self._decoder.prefill(ids, exact=True, deadline=never)
        assert logits is not None  # there was no deadline
        total = 0.0
        for place, token in enumerate(said):
            scores = logits.astype(np.float64)
            highest = scores.max()
            total += float(scores[token] - highest - np.log(np.exp(scores - highest).sum()))
            if place + 1 < len(said):
                logits = self._decoder.step(token)
        return total


def opposed(rows: Sequence[PairRow]) -> list[Opposed]:
    """A better answer beside a worse one: those of each pair, then good ones and bad ones by thumbs, in their order."""
    pairs = [((row.prompt, row.chosen), (row.prompt, row.rejected)) for row in rows if not row.is_thumb]
    good = [(row.prompt, row.chosen) for row in rows if row.is_thumb and row.chosen]
    bad = [(row.prompt, row.rejected) for row in rows if row.is_thumb and row.rejected]
    return [*pairs, *zip(good, bad, strict=False)]


def preferred(ours: Bundle, theirs: Bundle, told: Sequence[Opposed], most_tokens: int) -> WinRate:
    """How often we, measured by them, have come to prefer the answer that people do; a bundle ties with itself.

    For each two: whether our log probability exceeds theirs by more for the better answer than for the worse one.
    """
    models = [Likelihood(bundle) for bundle in (ours, theirs)]

    def gain(prompt: Prompt, text: str) -> float:
        own, other = (model.of(prompt, text, most_tokens) for model in models)
        return own - other

    gains = [(gain(*better), gain(*worse)) for better, worse in told]
    return win_rate([better for better, _ in gains], [worse for _, worse in gains])


def prompt_ids(generator: TextGenerator, prompt: Prompt) -> list[int]:
    """A prompt as the generator takes it."""
    return generator.text_ids(prompt) if isinstance(prompt, str) else generator.chat_ids(prompt)
