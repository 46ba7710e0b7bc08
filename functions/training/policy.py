"""The model that is being aligned: its texts as tokens, how likely it finds them, and what it says when it is asked.

With its adapter switched off it is the reference that alignment is held near. Nothing here moves torch's own random
numbers, so that looking at a model in training changes nothing of the training. All is in float32, whatever the
training multiplies in: half precision changes a likelihood by more than a short alignment does.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BatchEncoding, PreTrainedTokenizerFast

from pawl.examples import ASSISTANT, Prompt
from pawl.spelling import Spelling
from training.checkpoint import Checkpoint

Floats = NDArray[np.float64]
SCORED_TOKENS, GPU_TOKENS = 2048, 16_384
"""Rows of a batch times the longest row whose logits are kept all at once, on a CPU and on a GPU."""
SAMPLED_TOKENS = 16_384
"""The same where the last token's logits are all that is kept: wide batches make the most of each weight read."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt and an answer to it as tokens; the answer ends with the token that ends texts, unless it was cut."""

    prompt: list[int]
    answer: list[int]


class TalkTokenizer(PreTrainedTokenizerFast):
    """A tokenizer to which special tokens that a message spells out are text, as they are when the model is served."""

    def apply_chat_template(  # pyright: ignore[reportIncompatibleMethodOverride]  trl names whatever it gives
        self, conversation: Any, *, tokenize: bool = True, return_dict: bool = True, **options: Any
    ) -> Any:
        """As transformers has it; with conversations that spell such tokens, rows are neither cut nor padded."""
        lay_out = partial(super().apply_chat_template, **options)
        is_batch = not isinstance(conversation[0], Mapping)
        talks = conversation if is_batch else [conversation]
        if not tokenize or not any(map(self._spelling.is_in, talks)):
            return lay_out(conversation, tokenize=tokenize, return_dict=return_dict)
        rows = [self._spelling.ids(talk, lambda said: str(lay_out(list(said), tokenize=False))) for talk in talks]
        told = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
        told = told if is_batch else {name: each[0] for name, each in told.items()}
        return BatchEncoding(told) if return_dict else told["input_ids"]

    @cached_property
    def _spelling(self) -> Spelling:
        """Over a copy: transformers leaves what it was last told of cutting and padding in its own."""
        tokenizer = Tokenizer.from_str(self.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return Spelling(tokenizer)


def tokenizer_of(checkpoint: Checkpoint) -> PreTrainedTokenizerFast:
    """A checkpoint's tokenizer as trainers want it: padded on the left, if possible by a token that ends no text."""
    eos = (
        checkpoint.tokenizer.id_to_token(checkpoint.eos_ids[0])
        if checkpoint.eos_token is None
        else checkpoint.eos_token
    )
    others = [token for token in ("<pad>", "<|endoftext|>") if checkpoint.tokenizer.token_to_id(token) is not None]
    tokenizer = TalkTokenizer(
        tokenizer_object=checkpoint.tokenizer,
        bos_token=checkpoint.bos_token,
        eos_token=eos,
        pad_token=next((token for token in others if token != eos), eos),
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = checkpoint.chat_template
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, answer: str, max_tokens: int) -> Encoded:
    """Prompt and answer as the trainers see them, cut to `max_tokens` at the end."""
    before = prompt_ids(tokenizer, prompt)
    if isinstance(prompt, str):
        whole = tokenizer(prompt + answer + str(tokenizer.eos_token))["input_ids"]
    else:
        said = [*map(dict, prompt), {"role": ASSISTANT, "content": answer}]
        whole = _laid_out(tokenizer, said)
    start = next(
        (i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), min(len(before), len(whole))
    )
    return Encoded(whole[:start], whole[start:max_tokens])


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: Prompt) -> list[int]:
    """The tokens that an answer follows."""
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    return _laid_out(tokenizer, [*map(dict, prompt)], add_generation_prompt=True)


def _laid_out(tokenizer: Any, messages: list[dict[str, str]], **options: bool) -> list[int]:
    return tokenizer.apply_chat_template(messages, return_dict=False, **options)


@contextmanager
def without_adapter(model: nn.Module, is_off: bool) -> Generator[None]:
    """The reference in the place of the policy, where that is asked for."""
    with model.disable_adapter() if is_off and isinstance(model, PeftModel) else nullcontext():
        yield


def log_probabilities(model: nn.Module, rows: Sequence[Encoded], pad: int, is_reference: bool = False) -> list[Floats]:
    """The log probability of each token of each answer after its prompt; one array (tokens,) a row."""
    found: list[Floats] = [np.zeros(0)] * len(rows)
    device = next(model.parameters()).device
    most = GPU_TOKENS if device.type == "cuda" else SCORED_TOKENS
    was_training = model.training
    model.eval()
    with torch.no_grad(), without_adapter(model, is_reference):
        for chosen in _batches([len(row.prompt) + len(row.answer) for row in rows], most):
            ids = [torch.tensor(rows[i].prompt + rows[i].answer) for i in chosen]
            lengths = torch.tensor([len(each) for each in ids])
            padded = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=pad)  # (rows, tokens)
            mask = (torch.arange(padded.shape[1]) < lengths[:, None]).to(torch.int64)
            logits = _in_float32(model, input_ids=padded.to(device), attention_mask=mask.to(device)).logits
            for place, i in enumerate(chosen):
                found[i] = _of_answer(logits[place], padded[place], rows[i])
    model.train(was_training)
    return found


def _in_float32(model: nn.Module, **inputs: Tensor) -> Any:
    """What a model's own class makes of inputs.

    In a training of half precision the model itself has another `forward`: accelerate's, whose autocast no other one
    around it switches off.
    """
    return type(model).forward(model, **inputs, use_cache=False)


def _of_answer(logits: Tensor, ids: Tensor, row: Encoded) -> Floats:
    """The log probabilities of one row's answer from its logits, (tokens, vocabulary)."""
    start, end = len(row.prompt), len(row.prompt) + len(row.answer)
    scores = torch.log_softmax(logits[start - 1 : end - 1].float(), dim=-1)
    return scores.gather(1, ids[start:end, None].to(scores.device))[:, 0].double().cpu().numpy()


def sample(
    model: nn.Module,
    prompts: Sequence[list[int]],
    eos_ids: Sequence[int],
    pad: int,
    most_tokens: int,
    seed: int,
    temperature: float = 1.0,
) -> list[Encoded]:
    """One answer to each prompt; at temperature 1 drawn from the model's own distribution, nothing cut off."""
    found: list[Encoded | None] = [None] * len(prompts)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        for chosen in _batches([len(prompt) + most_tokens for prompt in prompts], SAMPLED_TOKENS):
            width = max(len(prompts[i]) for i in chosen)
            ids = torch.tensor([[pad] * (width - len(prompts[i])) + prompts[i] for i in chosen])
            mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen])
            said = model.generate(  # type: ignore[operator]
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=most_tokens,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                eos_token_id=list(eos_ids),
                pad_token_id=pad,
            )
            for i, row in zip(chosen, said[:, width:].tolist(), strict=True):
                found[i] = Encoded(prompts[i], _until_end(row, eos_ids))
    model.train(was_training)
    return [row for row in found if row is not None]


def _until_end(ids: list[int], eos_ids: Sequence[int]) -> list[int]:
    """The tokens of a text up to and with the one that ends it; all where none does."""
    end = next((place for place, token in enumerate(ids) if token in eos_ids), len(ids))
    return ids[: end + 1]


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Row indices, rows of like length together, each batch within so many tokens."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[row] > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
