"""Two bundles of text generators against each other, both as they are served: quantized, on plain onnxruntime.

Both answer the same prompts with the same seeds, and somebody judges; both are asked how likely they find the answers
that people compared. A bundle against itself ties everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.bundle import Bundle
from pawl.errors import InvalidRequest
from pawl.examples import Prompt
from pawl.generator import Completion, Sampling, TextGenerator
from pawl.likelihood import Likelihood, prompt_ids
from pawl.pairset import PairRow
from pawl.winning import WinRate, win_rate

Floats = NDArray[np.float64]
Judge = Callable[[Sequence[Prompt], Sequence[str]], Floats]
Opposed = tuple[tuple[Prompt, str], tuple[Prompt, str]]
"""Two answers, each after its prompt, the better one first."""


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
            prompt_ids(generator, prompt),
            Sampling(max_tokens=rules.most_tokens, temperature=rules.temperature, seed=rules.seed + place),
        )
        for place, prompt in enumerate(prompts)
    ]


def fitting(generator: TextGenerator, prompts: Sequence[Prompt], most_tokens: int) -> list[Prompt]:
    """The prompts that leave room for an answer of so many tokens."""
    fit: list[Prompt] = []
    for prompt in prompts:
        try:
            if len(prompt_ids(generator, prompt)) + most_tokens <= generator.context:
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


def opposed(rows: Sequence[PairRow]) -> list[Opposed]:
    """A better answer beside a worse one: those of each pair, then good ones and bad ones by thumbs, in their order."""
    pairs = [((row.prompt, row.chosen), (row.prompt, row.rejected)) for row in rows if not row.is_thumb]
    good = [(row.prompt, row.chosen) for row in rows if row.is_thumb and row.chosen]
    bad = [(row.prompt, row.rejected) for row in rows if row.is_thumb and row.rejected]
    return [*pairs, *zip(good, bad, strict=False)]


def preferred(ours: Bundle, theirs: Bundle, told: Sequence[Opposed], most_tokens: int) -> WinRate:
    """How often we, measured by them, have come to prefer the answer that people do.

    For each two: whether our log probability exceeds theirs by more for the better answer than for the worse one.
    """
    models = [Likelihood(bundle) for bundle in (ours, theirs)]

    def gain(prompt: Prompt, text: str) -> float:
        own, other = (model.of(prompt, text, most_tokens) for model in models)
        return own - other

    gains = [(gain(*better), gain(*worse)) for better, worse in told]
    return win_rate([better for better, _ in gains], [worse for _, worse in gains])
