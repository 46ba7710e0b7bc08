"""Tiny Hugging Face checkpoints with random weights, for the recipes that package somebody's own."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SAID = ("my parcel is late and the courier has my street wrong", "the invoice charges 17.40 twice, please look into it")


def save_decoder(folder: Path, family: str, is_tied: bool = True, was_blocks: bool = False) -> PreTrainedModel:
    """A Llama or Qwen2 of two layers in `folder`. `was_blocks`: its matrices are what 4-bit blocks gave."""
    tokenizer = byte_level_tokenizer()
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": is_tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.2,
    }
    torch.manual_seed(11)
    model = LlamaForCausalLM(LlamaConfig(**sizes)) if family == "llama" else Qwen2ForCausalLM(Qwen2Config(**sizes))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):  # of Qwen2; transformers begins with zeros
            torch.nn.init.normal_(weight, std=0.2)
    if was_blocks:
        _round_to_blocks(model)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"chat_template": TEMPLATE}))
    return model.eval()


def byte_level_tokenizer() -> Tokenizer:
    """GPT-2's kind, of a few hundred tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAID * 4, trainer)
    return tokenizer


def save_encoder(folder: Path) -> BertModel:
    """A Bert of two layers in `folder`, with a WordPiece tokenizer."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in SAID for word in text.split()}), "a", "i"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    torch.manual_seed(3)
    model = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes))
    model.save_pretrained(folder)
    return model.eval()


def _round_to_blocks(model: PreTrainedModel) -> None:
    """Each layer's matrices on a grid of 16 even steps a block, whose ends are both taken."""
    for name, weight in model.named_parameters():
        if name.endswith("proj.weight"):
            blocks = weight.detach().numpy().reshape(len(weight), -1, 32)
            low, high = blocks.min(-1, keepdims=True), blocks.max(-1, keepdims=True)
            step = (high - low) / 15
            weight.data = torch.from_numpy((low + np.rint((blocks - low) / step) * step).reshape(weight.shape))
