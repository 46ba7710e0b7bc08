"""Two bundles of text generators against each other, both as they are served: quantized, on plain onnxruntime.

Both answer the same prompts with the same seeds, and somebody judges. A bundle against itself ties everywhere; how
likely both find answers that people judged is `pawl.likelihood`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pawl.completion import Completion
from pawl.errors import InvalidRequest
from pawl.examples import Prompt
from pawl.generator import TextGenerator
from pawl.likelihood import prompt_ids
from pawl.sampling import Sampling
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
