"""Vocabulary and positions that no text looks up: what is left out, and that nothing else changes."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from training.classifier import Classifier, pad
from training.trimming import trim, unreachable_tokens

TOKENS = [
    "[PAD]",
    "[unused0]",
    "[UNK]",
    "...",
    "[CLS]",
    "late",
    "[SEP]",
    "Late",
    "##r",
    "pa",
    "##rcel",
    "é",
    "##]",
    "e",
    "?",
]
TEXTS = ["late parcel", "later?", "Late [unused0] é...", "", "xyz", "e e e e e e e e e"]


def bert_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 4), ("[SEP]", 6)]
    )
    tokenizer.enable_truncation(8)
    return tokenizer


def network(family: type[BertModel] = BertModel) -> Classifier:
    torch.manual_seed(2)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = family(BertConfig(vocab_size=len(TOKENS), max_position_embeddings=32, **sizes))
    return Classifier(encoder, labels=2, dimensions=2, dropout=0.0).eval().requires_grad_(False)


def test_a_piece_that_the_tokenizer_itself_would_change_or_cut_is_in_no_text() -> None:
    left_out = [TOKENS[number] for number in unreachable_tokens(bert_tokenizer())]
    assert left_out == ["[unused0]", "...", "Late", "é"]


def test_every_text_has_the_same_tokens_and_the_same_embedding_to_the_last_bit() -> None:
    tokenizer, whole = bert_tokenizer(), network()

    trimmed, kept = trim(whole, tokenizer, 8)

    assert kept.values == (4 + 24) * 8
    assert trimmed.encoder.config.max_position_embeddings == 8
    for text in TEXTS:
        before, after = tokenizer.encode(text), kept.tokenizer.encode(text)
        assert before.tokens == after.tokens
        assert kept.renumber([before.ids]) == [after.ids]
        cpu = torch.device("cpu")
        assert torch.equal(whole.embed(*pad([before.ids], cpu)), trimmed.embed(*pad([after.ids], cpu)))
    assert len(kept.tokenizer.encode("e " * 50).ids) == 8


def test_of_a_tokenizer_that_is_not_bert_s_nothing_is_known_and_nothing_left_out() -> None:
    tokenizer = bert_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert unreachable_tokens(tokenizer) == []


def test_an_encoder_of_another_family_stays_as_it_is() -> None:
    whole = network()
    whole.encoder.config.model_type = "roberta"
    trimmed, kept = trim(whole, bert_tokenizer(), 8)
    assert kept.values == 0
    assert trimmed.encoder.config.vocab_size == len(TOKENS)
    assert kept.renumber([[4, 5, 6]]) == [[4, 5, 6]]
