"""Tiny checkpoints of both families, packaged and then asked the same as torch."""

import functools
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import copy

import gguf
import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file
from tests.functional.checkpoints import SAID, SPECIAL, TEMPLATE, byte_level_tokenizer, save_decoder
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from benchmarks.generation import weight_bytes
from pawl.bundle import Bundle, open_bundle
from pawl.detokenizer import TokenBytes
from pawl.errors import NotFound, UnsupportedRequest
from pawl.generator import TextGenerator
from pawl.model import SCALES, open_session
from pawl.sampling import Sampling
from training.blocks import Scheme
from training.checkpoint import open_checkpoint
from training.generator import EXACT, ROUNDED, Knobs, package
from training.ggml import tokenizer_of
from training.origin import Origin

ORIGIN = Origin("tiny", "3", "2026-07-14T09:00:00.000Z", "somebody/tiny", "mit", "run-9", "abc123")
FINE = Scheme(bits=8, block=32)
EIGHT_BITS = Knobs(body=FINE, head=FINE, context=128, measured_tokens=96, sample_tokens=64)
USUAL = Knobs(measured_tokens=96, sample_tokens=64)

Packaged = Callable[..., tuple[PreTrainedModel, Bundle]]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    """Makes a checkpoint and packages it, once for all tests that ask for the same; `again` makes another."""

    @functools.cache
    def make(
        family: str, knobs: Knobs, is_tied: bool = True, was_blocks: bool = False, again: bool = False
    ) -> tuple[PreTrainedModel, Bundle]:
        folder = tmp_path_factory.mktemp("packaged")
        (folder / "checkpoint").mkdir()
        (folder / "bundle").mkdir()
        model = save_decoder(folder / "checkpoint", family, is_tied, was_blocks)
        package(str(folder / "checkpoint"), ORIGIN, knobs, folder / "bundle")
        return model, open_bundle(folder / "bundle")

    return make


@pytest.mark.parametrize(("family", "is_tied"), [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False)])
def test_wherever_torch_is_clear_about_the_next_token_the_packaged_decoder_says_it(
    family: str, is_tied: bool, packaged: Packaged
) -> None:
    model, bundle = packaged(family, EIGHT_BITS, is_tied)
    generator = TextGenerator(bundle)
    ids = generator.text_ids(" ".join(SAID))
    with torch.inference_mode():
        best = model(input_ids=torch.tensor([ids])).logits[0].topk(2)
    clear = [place for place, (first, second) in enumerate(best.values.tolist()) if first - second > 0.5]
    assert len(clear) > 4
    table = TokenBytes(Tokenizer.from_file(str(bundle.path / "tokenizer.json")))
    for place in clear:
        said = generator.generate(ids[: place + 1], Sampling(temperature=0, max_tokens=1))
        wanted = int(best.indices[place, 0])
        assert b"".join(token.data for token in said.tokens) == (b"" if wanted in (0, 2) else table[wanted])
    assert bundle.manifest.metrics["divergence"] < 0.01


def test_the_manifest_says_what_was_done(packaged: Packaged) -> None:
    _, bundle = packaged("llama", USUAL)
    manifest = bundle.manifest
    assert set(manifest.files) == {
        *(
            "model.onnx",
            "model.onnx.data",
            SCALES,
            "tokenizer.json",
            "generation.json",
            "chat_template.jinja",
            "card.md",
        )
    }
    assert (manifest.name, manifest.version, manifest.kind) == ("tiny", "3", "text-generator")
    assert manifest.max_tokens == 512
    assert manifest.quantization["body"]["spare"] == manifest.quantization["head"]["spare"] == ROUNDED.spare
    assert manifest.quantization["source"] == "float32"
    assert (manifest.lineage.base_model, manifest.lineage.base_licence) == ("somebody/tiny", "mit")
    assert (manifest.lineage.dataset, manifest.lineage.code) == ("none", "abc123")
    assert manifest.metrics["tokens"] == 95
    about = json.loads((bundle.path / "generation.json").read_text())
    assert about == {
        "schema": 1,
        "layers": 2,
        "kv_heads": 2,
        "head_size": 16,
        "context": 512,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "eos_ids": [0, 2],
    }
    assert (bundle.path / "chat_template.jinja").read_text() == TEMPLATE


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_layer_is_four_products_and_a_gate_and_the_scales_lie_beside_the_graph(
    family: str, packaged: Packaged
) -> None:
    _, bundle = packaged(family, USUAL)
    graph = onnx.load(bundle.path / "model.onnx", load_external_data=False).graph
    count = Counter(node.op_type for node in graph.node)
    assert (count["MatMulNBits"], count["MatMul"], count["Sigmoid"], count["QuickGelu"]) == (4 * 2 + 1, 0, 0, 2)
    scales = load_file(bundle.path / SCALES)
    assert {values.dtype.name for values in scales.values()} == {"float16"}
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert scales.keys() == {node.input[2] for node in products}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    codes_and_zeros = {name for node in products for name in (node.input[1], node.input[3])}
    bytes_of_codes = sum(math.prod(stored[name].dims) for name in codes_and_zeros)
    assert weight_bytes(bundle.path / "model.onnx") == bytes_of_codes + sum(each.nbytes for each in scales.values())


def test_a_graph_that_is_opened_without_its_scales_answers_nothing(packaged: Packaged, tmp_path: Path) -> None:
    """onnxruntime would answer zeros, were they computed by nodes: an older server must not take it for a model."""
    _, bundle = packaged("llama", USUAL)
    for name in ("model.onnx", "model.onnx.data"):
        copy(bundle.path / name, tmp_path)
    with pytest.raises(Exception, match="External data path"):
        open_session(str(tmp_path / "model.onnx"))


def test_weights_that_were_four_bit_blocks_lose_next_to_nothing(packaged: Packaged) -> None:
    knobs = Knobs(head=FINE, measured_tokens=96, sample_tokens=64)
    _, exact = packaged("llama", knobs, was_blocks=True)
    _, rounded = packaged("llama", knobs)
    assert exact.manifest.quantization["body"]["minima"] is EXACT.minima is True
    assert rounded.manifest.quantization["body"]["minima"] is False
    assert exact.manifest.metrics["divergence"] < rounded.manifest.metrics["divergence"] / 4


def test_the_same_checkpoint_gives_the_same_files(packaged: Packaged) -> None:
    first, second = packaged("llama", USUAL)[1].manifest, packaged("llama", USUAL, again=True)[1].manifest
    same = ("model.onnx", "model.onnx.data", SCALES, "tokenizer.json", "generation.json")
    assert [first.files[name] for name in same] == [second.files[name] for name in same]


def test_fewer_positions_than_the_model_knows_can_be_served(packaged: Packaged) -> None:
    _, bundle = packaged("llama", EIGHT_BITS)
    assert bundle.manifest.max_tokens == TextGenerator(bundle).context == 128


def test_a_gguf_file_is_spread_into_the_checkpoint_that_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    model = save_decoder(tmp_path / "hf", "llama")
    (tmp_path / "gguf").mkdir()
    _write_gguf(model, tmp_path / "gguf" / "tiny.gguf")

    checkpoint = open_checkpoint(str(tmp_path / "gguf"), tmp_path / "scratch")

    again = checkpoint.model().state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in model.state_dict().items())
    assert checkpoint.eos_ids == [0, 2]
    assert (checkpoint.bos_token, checkpoint.chat_template) == ("<|im_start|>", TEMPLATE)
    assert checkpoint.stored_as == "GGUF F32"
    text = "the invoice charges 17.40 twice<|im_end|>"
    assert checkpoint.tokenizer.encode(text).ids == byte_level_tokenizer().encode(text).ids


def test_digits_are_cut_as_the_file_s_model_was_trained_on_them() -> None:
    facts = _gguf_facts(byte_level_tokenizer(), "smollm")
    assert tokenizer_of(facts, "tiny.gguf").encode("17.40").tokens == ["1", "7", ".", "4", "0"]
    facts["tokenizer.ggml.pre"] = "poro"
    with pytest.raises(UnsupportedRequest, match="cuts as 'poro': known are 'gpt2' ones with gpt-2, smollm"):
        tokenizer_of(facts, "tiny.gguf")


def test_what_cannot_be_packaged_is_refused_by_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"has no config\.json and 0 \.gguf files"):
        open_checkpoint(str(tmp_path), tmp_path / "scratch")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(UnsupportedRequest, match="is of type 'mamba': want llama or qwen2"):
        open_checkpoint(str(tmp_path), tmp_path / "scratch")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UnsupportedRequest, match=r"has no tokenizer\.json"):
        open_checkpoint(str(tmp_path), tmp_path / "scratch")


def _gguf_facts(tokenizer: Tokenizer, cut: str) -> dict[str, object]:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": cut,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
    }


def _write_gguf(model: PreTrainedModel, path: Path) -> None:
    """The model as llama.cpp's converter writes it: short names, and the halves of query and key rows by turns."""
    config, facts = model.config, _gguf_facts(byte_level_tokenizer(), "gpt-2")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(facts["tokenizer.ggml.tokens"])
    writer.add_token_types(facts["tokenizer.ggml.token_type"])
    writer.add_token_merges(facts["tokenizer.ggml.merges"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        weight = tensor.numpy()
        for part, count in heads.items():
            if part in name:
                weight = weight.reshape(count, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        writer.add_tensor(names.get_name(name, (".weight",)), np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
