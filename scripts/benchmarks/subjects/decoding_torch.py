"""Peer: torch eager, the weights of the GGUF in float32, keys and values cached. `python decoding_torch.py GGUF`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from decoding import measure
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
gguf = Path(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()


@torch.inference_mode()
def generate(prompt: Sequence[int], count: int) -> int:
    """By hand: `model.generate` would add its own time to every token."""
    ids, cache = torch.tensor([prompt]), None
    for _ in range(count):
        answer = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids, cache = answer.logits[:, -1].argmax(-1, keepdim=True), answer.past_key_values
    return count


if __name__ == "__main__":
    measure(generate)
