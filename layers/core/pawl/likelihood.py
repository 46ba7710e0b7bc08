"""How likely a text generator, as it is served, finds a given answer: a token at a time, so for few texts."""

import numpy as np
from tokenizers import Tokenizer

from pawl.bundle import Bundle
from pawl.decoder import Decoder, Shape
from pawl.examples import Prompt
from pawl.generator import TextGenerator, never, parse_generation
from pawl.model import open_session


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


def prompt_ids(generator: TextGenerator, prompt: Prompt) -> list[int]:
    """A prompt as the generator takes it."""
    return generator.text_ids(prompt) if isinstance(prompt, str) else generator.chat_ids(prompt)
