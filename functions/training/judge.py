"""The network of a reward model: a pretrained base, what it says of the answer pooled, and one number of it.

An encoder's states are averaged over the answer's tokens alone: the prompt is common to both answers of a pair, and
what it adds to both mean states hides how they differ. A decoder is read at its last token, which has seen all.

Checkpoints of decoders are opened as `training.checkpoint` opens them, and laid out by their own chat template.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from pawl.chat import ChatTemplate
from pawl.errors import NotFound, UnsupportedRequest
from pawl.reward import Layout, plain
from training.checkpoint import Checkpoint, open_checkpoint
from training.classifier import load_encoder
from training.ggml import FAMILIES

ROWS_TOGETHER = 8
"""Rows of a training batch that a CPU runs at a time; fewer are less padded, and more are shared by its threads."""
WIDTHS = 16
"""Such rows are padded to a multiple of so many tokens: where no two sizes are alike, freed memory finds no new use."""
_ASKED = "\u241f"


@dataclass(frozen=True, slots=True)
class Base:
    """A pretrained base made ready to judge: the network, its tokens, and how a dialogue is laid out for it."""

    judge: "Judge"
    tokenizer: Tokenizer
    layout: Layout
    pad_token: str
    end_token: str

    @property
    def pad_id(self) -> int:
        """The token that fills rows up."""
        return self.tokenizer.token_to_id(self.pad_token) or 0

    @property
    def is_decoder(self) -> bool:
        """Whether it is read at its last token."""
        return self.judge.separator is None


class Judge(nn.Module):
    """A reward network; centre and directions are set once, after training, for the drift profile.

    `separator` is the token between prompt and answer of an encoder, None for a decoder.
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, encoder: PreTrainedModel, separator: int | None, dimensions: int) -> None:
        super().__init__()
        hidden: int = encoder.config.hidden_size
        self.config = encoder.config
        self.config.num_labels = 1
        self.config.bos_token_id = None  # these two as trl's tokenizer has them
        self.config.eos_token_id = self.config.eos_token_id if separator is None else separator
        self.encoder = encoder
        self.separator = separator
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.normal_(self.score.weight, std=1 / math.sqrt(hidden + 1))
        self.register_buffer("centre", torch.zeros(hidden))
        self.register_buffer("directions", torch.zeros(hidden, dimensions))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pooled states of ids and mask (rows, tokens), padded on the right: (rows, hidden)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.separator is None:
            last = attention_mask.sum(1) - 1  # (rows,)
            return states[torch.arange(states.shape[0], device=states.device), last]
        mask = answered(input_ids, attention_mask, self.separator).unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Rewards as `logits`, shape (rows, 1), as trl's trainer takes them."""
        return SequenceClassifierOutput(logits=self.score(self._embed_by_length(input_ids, attention_mask)))

    def _embed_by_length(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `embed`; on a CPU rows of like length run together: a padded token costs there what a real one does."""
        if input_ids.device.type != "cpu":
            return self.embed(input_ids, attention_mask)
        lengths = attention_mask.sum(1)
        order = lengths.argsort()
        parts = [(rows, -(-int(lengths[rows[-1]]) // WIDTHS) * WIDTHS) for rows in order.split(ROWS_TOGETHER)]
        pooled = torch.cat([self.embed(input_ids[rows, :width], attention_mask[rows, :width]) for rows, width in parts])
        return pooled[order.argsort()]

    def layers(self) -> nn.ModuleList:
        """The base's transformer layers, first to last."""
        count = self.config.num_hidden_layers
        return next(each for each in self.encoder.modules() if isinstance(each, nn.ModuleList) and len(each) == count)

    def add_model_tags(self, tags: Sequence[str]) -> None:
        """Nothing: trl tags what is pushed to a hub."""


class Served(nn.Module):
    """A judge as the graph that is served: reward (rows,) and projection (rows, dimensions).

    `encoder` is the judge's own, under the name by which it is smoothed.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        self.encoder: PreTrainedModel = judge.encoder

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The judge's pooled states."""
        return self.judge.embed(input_ids, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Reward and projection of ids and mask (rows, tokens)."""
        pooled = self.embed(input_ids, attention_mask)
        return self.judge.score(pooled).squeeze(-1), (pooled - self.judge.centre) @ self.judge.directions


def answered(input_ids: Tensor, attention_mask: Tensor, separator: int) -> Tensor:
    """The mask of what follows the first separator but one, (rows, tokens); of a row cut after it, the whole mask."""
    is_separator = (input_ids == separator).to(torch.int64) * attention_mask
    before = is_separator.cumsum(1) - is_separator
    is_cut = (is_separator.sum(1, keepdim=True) < 2).to(torch.int64)
    return attention_mask * torch.clamp(before.clamp(max=1) + is_cut, max=1)


def load_base(source: str, dimensions: int, scratch: Path) -> Base:
    """An encoder or a decoder that `source` names, a folder or a hub name; what has to be unpacked goes to `scratch`.

    The weights of the score are drawn by torch's global generator.
    """
    return _decoder(source, dimensions, scratch) if _is_decoder(source) else _encoder(source, dimensions)


def _encoder(source: str, dimensions: int) -> Base:
    file = Path(source) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(source)
    tokenizer.no_padding()
    around: list[int] = tokenizer.encode("").ids
    if len(around) != 2:
        raise UnsupportedRequest(f"{source!r} puts {len(around)} tokens around a text: want a first and a last one")
    end = _token(tokenizer, around[1])
    padding = next((each for each in ("[PAD]", "<pad>") if tokenizer.token_to_id(each) is not None), end)
    judge = Judge(load_encoder(source), around[1], dimensions)
    layout = Layout((around[0],), (around[1],), (around[1],))
    return Base(judge, plain(tokenizer), layout, padding, end)


def _decoder(source: str, dimensions: int, scratch: Path) -> Base:
    checkpoint = open_checkpoint(source, scratch)
    end = checkpoint.eos_token or _token(checkpoint.tokenizer, checkpoint.eos_ids[0])
    layout = _chat_layout(checkpoint, end)
    model = AutoModel.from_pretrained(checkpoint.folder, attn_implementation="eager", dtype=torch.float32)
    return Base(Judge(model, None, dimensions), plain(checkpoint.tokenizer), layout, end, end)


def _chat_layout(checkpoint: Checkpoint, end: str) -> Layout:
    """What the chat template puts before a question and between it and its answer, where there is one."""

    def ids(text: str) -> tuple[int, ...]:
        return tuple(checkpoint.tokenizer.encode(text, add_special_tokens=False).ids)

    if not checkpoint.chat_template:
        return Layout(ids(checkpoint.bos_token or ""), ids("\n\n"), ids(end))
    template = ChatTemplate(checkpoint.chat_template, checkpoint.bos_token, checkpoint.eos_token)
    before, _, between = template.render([{"role": "user", "content": _ASKED}]).partition(_ASKED)
    return Layout(ids(before), ids(between), ids(end))


def _token(tokenizer: Tokenizer, number: int) -> str:
    return cast("str", tokenizer.id_to_token(number))  # of a token that the tokenizer has named itself


def _is_decoder(source: str) -> bool:
    """By the configuration of a folder; a hub name is a decoder's if its configuration there says so."""
    path = Path(source)
    if path.suffix == ".gguf" or (path.is_dir() and not (path / "config.json").is_file()):
        return True
    if path.is_dir():
        return json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type") in FAMILIES
    try:
        return AutoConfig.from_pretrained(source).model_type in FAMILIES
    except (OSError, ValueError) as error:
        raise NotFound(
            f"{source!r} is neither a folder nor a model that the Hugging Face hub gives out here"
        ) from error
