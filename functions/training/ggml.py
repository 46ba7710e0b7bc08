"""A GGUF file spread out into the Hugging Face folder that it was made from: float weights, configuration, tokenizer.

The tokenizer is rebuilt from the file's own tables. How a text is cut before any merge is only named there, and a wrong
cut (digits left together, say) gives a model tokens that it has never seen: a name that is not known here is refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from pawl.errors import UnsupportedRequest

Facts = dict[str, Any]

FAMILIES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that are never cut; control tokens are left out of texts as well."""
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LATER = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS = {
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "qwen2": (_LATER % r"\p{N}",),
    "llama-bpe": (_LATER % r"\p{N}{1,3}",),
}
"""How a text is cut, one expression after the other, by GGUF's name of it."""
PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def spread(path: Path, folder: Path) -> None:
    """Fill `folder` from the file at `path`; UnsupportedRequest when its model or tokenizer is not known here."""
    reader = GGUFReader(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    names = {tensor.name for tensor in reader.tensors}
    types = sorted({tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1})
    config = {**config_of(facts, names, path.name), "stored_as": f"GGUF {' and '.join(types)}"}
    tokenizer = tokenizer_of(facts, path.name)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(_about_tokens(facts)), encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    heads = {"attn_q": int(config["num_attention_heads"]), "attn_k": int(config["num_key_value_heads"])}
    weights: dict[str, NDArray[np.float32]] = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        part = tensor.name.split(".")[-2]
        if config["model_type"] == "llama" and part in heads:
            weight = _unwoven(weight, heads[part])
        weights[_name(tensor.name)] = np.ascontiguousarray(weight)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def config_of(facts: Facts, tensors: set[str], name: str) -> dict[str, Any]:
    """`config.json` as transformers reads it."""
    family = facts.get("general.architecture")
    if family not in FAMILIES:
        raise UnsupportedRequest(f"{name} is of type {family!r}: want {' or '.join(FAMILIES)}")
    own = {key.removeprefix(f"{family}."): value for key, value in facts.items() if key.startswith(f"{family}.")}
    if "rope_freqs.weight" in tensors or own.get("rope.scaling.type", "none") != "none":
        raise UnsupportedRequest(f"{name} stretches its positions: package the model's Hugging Face folder instead")
    heads, hidden = own["attention.head_count"], own["embedding_length"]
    return {
        "architectures": [FAMILIES[family]],
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": own["feed_forward_length"],
        "num_hidden_layers": own["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": own.get("attention.head_count_kv", heads),
        "head_dim": own.get("attention.key_length", hidden // heads),
        "max_position_embeddings": own["context_length"],
        "rms_norm_eps": float(f"{own['attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": own.get("rope.freq_base", 10_000.0),
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in tensors,
        "bos_token_id": facts.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": facts.get("tokenizer.ggml.eos_token_id"),
        "hidden_act": "silu",
        "dtype": "float32",
    }


def tokenizer_of(facts: Facts, name: str) -> Tokenizer:
    """The byte-level BPE tokenizer in a file's facts."""
    kind, cut = facts.get("tokenizer.ggml.model"), facts.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or cut not in CUTS:
        raise UnsupportedRequest(
            f"{name} has a tokenizer {kind!r} that cuts as {cut!r}: known are 'gpt2' ones with {', '.join(CUTS)}; "
            "package the model's Hugging Face folder instead"
        )
    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=cut == "llama-bpe"))
    cuts = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in CUTS[cut]]
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, bytes_of])
    tokenizer.decoder = decoders.ByteLevel()
    types = list(zip(tokens, facts["tokenizer.ggml.token_type"], strict=True))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, n in types if n == CONTROL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t, n in types if n == USER_DEFINED])
    return tokenizer


def _about_tokens(facts: Facts) -> dict[str, Any]:
    tokens = facts["tokenizer.ggml.tokens"]
    places = {name: facts.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos")}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": facts.get("tokenizer.chat_template"),
        **{f"{name}_token": None if place is None else tokens[place] for name, place in places.items()},
    }


def _name(gguf: str) -> str:
    """A tensor's name in transformers, such as `model.layers.0.mlp.up_proj.weight` for `blk.0.ffn_up.weight`."""
    first, *middle, kind = gguf.split(".")
    if first != "blk":
        return f"{ENDS[first]}.{kind}"
    layer, part = middle
    return f"model.layers.{layer}.{PARTS[part]}.{kind}"


def _unwoven(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of a Llama's query or key in transformers' order: GGUF has the halves of each head's rows by turns."""
    shape = weight.shape
    return weight.reshape(heads, -1, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
