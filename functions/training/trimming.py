"""What a served text model can never look up, left out: rows of its tables, not a bit of its answers.

Two tables hold half of a small encoder. The positions go further than the longest text that is served; and a vocabulary
has tokens that its own tokenizer never gives (BERT's thousand `[unused...]`). The tokens that stay are numbered anew.
"""

import copy
import json
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedModel

from training.smoothing import Network

FAMILIES = ("bert",)
"""Whose positions count from 0 and whose tables lie where they are looked for here."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A tokenizer and how its ids follow from the old ones: `numbers` maps old to new."""

    tokenizer: Tokenizer
    numbers: dict[int, int]
    values: int
    """Weights that were left out."""

    def renumber(self, ids: list[list[int]]) -> list[list[int]]:
        """Token id rows of the old tokenizer as the new one gives them."""
        return [[self.numbers[each] for each in row] for row in ids]


def trim(network: Network, tokenizer: Tokenizer, longest: int) -> tuple[Network, Trimmed]:
    """A copy of `network` without what texts of up to `longest` tokens of `tokenizer` never look up."""
    network = copy.deepcopy(network)
    encoder = network.encoder
    kept = list(range(tokenizer.get_vocab_size()))
    if encoder.config.model_type not in FAMILIES or len(kept) != encoder.config.vocab_size:
        return network, Trimmed(tokenizer, {each: each for each in kept}, 0)
    before = _values(encoder)
    tables: Any = encoder.embeddings
    _keep(tables, "position_embeddings", list(range(min(longest, encoder.config.max_position_embeddings))))
    unreachable = set(unreachable_tokens(tokenizer))
    kept = [each for each in kept if each not in unreachable]
    _keep(tables, "word_embeddings", kept)
    encoder.config.vocab_size = len(kept)
    encoder.config.max_position_embeddings = tables.position_embeddings.num_embeddings
    numbers = {old: new for new, old in enumerate(kept)}
    return network, Trimmed(_renumber(tokenizer, numbers), numbers, before - _values(encoder))


def unreachable_tokens(tokenizer: Tokenizer) -> list[int]:
    """Ids that no text is given; none where the tokenizer is not BERT's, of whose pieces this can be told.

    A piece is a part of a word, and a word is what normalizing and cutting leave whole: a piece that they change or cut
    by itself is in no word.
    """
    is_bert = (
        isinstance(tokenizer.model, models.WordPiece)
        and isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
        and isinstance(tokenizer.post_processor, processors.TemplateProcessing | None)
    )
    if not is_bert:
        return []
    prefix = tokenizer.model.continuing_subword_prefix
    around = [
        *tokenizer.encode("").ids,
        *tokenizer.encode("", "").ids,
        tokenizer.token_to_id(tokenizer.model.unk_token),
    ]
    special = {0, *around, *tokenizer.get_added_tokens_decoder()}  # 0 is what rows are padded with
    return sorted(
        number
        for token, number in tokenizer.get_vocab().items()
        if number not in special and not _is_word(tokenizer, token.removeprefix(prefix))
    )


def _is_word(tokenizer: Tokenizer, piece: str) -> bool:
    cut: list[tuple[str, Any]] = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(piece))
    return [word for word, _ in cut] == [piece]


def _renumber(tokenizer: Tokenizer, numbers: dict[int, int]) -> Tokenizer:
    raw: dict[str, Any] = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = raw["model"]["vocab"]
    raw["model"]["vocab"] = {token: numbers[old] for token, old in vocabulary.items() if old in numbers}
    for token in raw["added_tokens"]:
        token["id"] = numbers[token["id"]]
    for special in (raw["post_processor"] or {}).get("special_tokens", {}).values():
        special["ids"] = [numbers[old] for old in special["ids"]]
    return Tokenizer.from_str(json.dumps(raw))


def _keep(embeddings: nn.Module, name: str, rows: list[int]) -> None:
    table: nn.Embedding = getattr(embeddings, name)
    weight = table.weight.detach()[rows].clone()
    padding = table.padding_idx if table.padding_idx in (None, 0) else None
    new = nn.Embedding(len(rows), weight.shape[1], padding_idx=padding, _weight=weight)
    setattr(embeddings, name, new.requires_grad_(table.weight.requires_grad))


def _values(encoder: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in encoder.parameters())
