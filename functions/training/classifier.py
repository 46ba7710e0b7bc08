"""The network: a pretrained encoder, mean pooling and a linear head, with everything that its answer needs inside.

Temperature, centre and directions are buffers, set once after training, so that `forward` is the whole served graph:
nothing is left for the runtime to compute but the tokens.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel


class Classifier(nn.Module):
    """Text classifier over any Hugging Face encoder; `dimensions` is how many directions `forward` projects on."""

    temperature: Tensor
    centre: Tensor
    directions: Tensor

    def __init__(self, encoder: PreTrainedModel, labels: int, dimensions: int, dropout: float) -> None:
        super().__init__()
        hidden: int = encoder.config.hidden_size
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, labels)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("centre", torch.zeros(hidden))
        self.register_buffer("directions", torch.zeros(hidden, dimensions))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The mean of each row's token embeddings: ids and mask (rows, tokens) -> (rows, hidden)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)  # (rows, tokens, 1)
        return (states * mask).sum(1) / mask.sum(1)

    def logits(self, pooled: Tensor) -> Tensor:
        """Scores before calibration: (rows, hidden) -> (rows, labels)."""
        return self.head(self.dropout(pooled))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (rows, labels) and projection (rows, dimensions) of ids and mask (rows, tokens)."""
        pooled = self.embed(input_ids, attention_mask)
        probabilities = torch.softmax(self.logits(pooled) / self.temperature, dim=-1)
        return probabilities, (pooled - self.centre) @ self.directions

    def layers(self) -> nn.ModuleList:
        """The encoder's transformer layers, first to last."""
        count = self.encoder.config.num_hidden_layers
        return next(each for each in self.encoder.modules() if isinstance(each, nn.ModuleList) and len(each) == count)


def load_encoder(base: str) -> PreTrainedModel:
    """A pretrained encoder from a folder or the hub. Attention is spelled out, as onnxruntime's fusions expect it."""
    return AutoModel.from_pretrained(base, attn_implementation="eager", dtype=torch.float32)


def load_tokenizer(base: str, max_tokens: int) -> Tokenizer:
    """The base model's tokenizer, truncating and not padding: the runtime pads a batch to its longest row."""
    file = Path(base) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(base)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def pad(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask of token id rows, padded on the right to the longest: two int64 tensors, (rows, tokens)."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).to(torch.int64)
    return ids.to(device), mask.to(device)
