"""Ours: the generator in a bundle. `python decoding_pawl.py BUNDLE`, with the built layers on the path."""

import sys
from collections.abc import Sequence
from pathlib import Path

from decoding import measure

from pawl.bundle import open_bundle
from pawl.generator import TextGenerator
from pawl.sampling import Sampling

generator = TextGenerator(open_bundle(Path(sys.argv[1])))


def generate(prompt: Sequence[int], count: int) -> int:
    """Detokenization included, as in a reply."""
    return generator.generate(prompt, Sampling(max_tokens=count, temperature=0)).token_count


if __name__ == "__main__":
    measure(generate)
