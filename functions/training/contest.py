"""Two bundles of text generators against each other, both as they are served: quantized, on plain onnxruntime.

Both answer the same prompts with the same seeds, and somebody judges; both are asked how likely they find the answers
that people compared. A bundle against itself ties everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.decoder import Decoder, Shape
from pawl.errors import InvalidRequest
from pawl.examples import Prompt
from pawl.generator import Completion, Sampling, TextGenerator, never, parse_generation
from pawl.model import open_session
from pawl.pairset import PairRow
from pawl.winning import WinRate, win_rate

Floats = NDArray[np.float64]
Judge = Callable[[Sequence[Prompt], Sequence[str]], Floats]


@dataclass(frozen=True, slots=True)
class Rules:
    """How both are asked."""

    most_tokens: int
    temperature: float
    seed: int


def answers(generator: TextGenerator, prompts: Sequence[Prompt], rules: Rules) -> list[Completion]:
    """One answer to each prompt, each drawn with a seed of its own."""
    return [
        generator.generate(
            ids_of(generator, prompt),
            Sampling(max_tokens=rules.most_tokens, temperature=rules.temperature, seed=rules.seed + place),
        )
        for place, prompt in enumerate(prompts)
    ]


def ids_of(generator: TextGenerator, prompt: Prompt) -> list[int]:
    """A prompt as the generator takes it."""
    return generator.text_ids(prompt) if isinstance(prompt, str) else generator.chat_ids(prompt)


def fitting(generator: TextGenerator, prompts: Sequence[Prompt], most_tokens: int) -> list[Prompt]:
    """The prompts that leave room for an answer of so many tokens."""
    fit: list[Prompt] = []
    for prompt in prompts:
        try:
            if len(ids_of(generator, prompt)) + most_tokens <= generator.context:
                fit.append(prompt)
        except InvalidRequest:  # far too long, or refused by the chat template
            continue
    return fit


def compare(
    ours: Sequence[Completion], theirs: Sequence[Completion], prompts: Sequence[Prompt], judge: Judge
) -> WinRate:
    """How often the judge finds our answer the better one."""
    scores = [judge(prompts, [each.text for each in said]).tolist() for said in (ours, theirs)]
    return win_rate(*scores)


class Likelihood:
    """How likely a bundle, as served, finds a given answer to a prompt."""

    def __init__(self, bundle: Bundle) -> None:
        self._generator = TextGenerator(bundle)
        about = parse_generation((bundle.path / "generation.json").read_bytes())
        shape = Shape(about.layers, about.kv_heads, about.head_size, about.context)
        self._decoder = Decoder(open_session(str(bundle.path / "model.onnx"), 1), shape)
        self._tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
        named = self._tokenizer.token_to_id(about.eos_token) if about.eos_token else None
        self._end = about.eos_ids[0] if named is None else named

    def of(self, prompt: Prompt, answer: str, most_tokens: int) -> float:
        """The log probability of the answer's first tokens, the end of the text included."""
        ids = ids_of(self._generator, prompt)
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


def preferred(ours: Bundle, theirs: Bundle, rows: Sequence[PairRow], most_tokens: int) -> WinRate:
    """How often we, measured by them, have come to prefer the answer that people do.

    For each pair: whether our log probability exceeds theirs by more for the chosen answer than for the rejected one.
    """
    models = [Likelihood(bundle) for bundle in (ours, theirs)]

    def gain(prompt: Prompt, text: str) -> float:
        own, other = (model.of(prompt, text, most_tokens) for model in models)
        return own - other

    gains = [(gain(row.prompt, row.chosen), gain(row.prompt, row.rejected)) for row in rows]
    return win_rate([chosen for chosen, _ in gains], [rejected for _, rejected in gains])
