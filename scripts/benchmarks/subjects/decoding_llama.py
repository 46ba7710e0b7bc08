"""Peer: llama.cpp through llama-cpp-python, built here for this CPU. `python decoding_llama.py GGUF CONTEXT`."""

import sys
from collections.abc import Sequence
from itertools import islice

from decoding import measure
from llama_cpp import Llama

llama = Llama(sys.argv[1], n_ctx=int(sys.argv[2]), n_threads=1, n_threads_batch=1, verbose=False)


def generate(prompt: Sequence[int], count: int) -> int:
    """Detokenization included, as in a reply."""
    tokens = list(islice(llama.generate(prompt, temp=0.0), count))
    llama.detokenize(tokens)
    return len(tokens)


if __name__ == "__main__":
    measure(generate)
