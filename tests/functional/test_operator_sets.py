"""A graph answers as what it was made of, kind by kind, in every operator set that its exporter can write.

Classifiers and image classifiers are asked the same in `test_training_compression` and `test_training_tensors`.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.functional import factories
from tests.functional.checkpoints import SAID, save_decoder, save_encoder

from pawl.model import open_session
from training.checkpoint import open_checkpoint
from training.classifier import load_encoder, load_tokenizer, pad
from training.embedder import OUTPUTS, SentenceEncoder, export
from training.export import GRAPH, fuse, trace
from training.generator import build_graph
from training.graphs import OPSETS, load_graph, run
from training.importing import import_estimator
from training.judge import Served, load_base
from training.judge_export import OUTPUTS as REWARDED
from training.likeness import served_scores
from training.tensors import parity

CPU = torch.device("cpu")
TEXTS = [*SAID, "a late invoice", "my street", "i look into it", "the courier has my parcel"]
TRACED = (14, 17, 20)
"""The operators of the networks' attention begin with 14; torch's tracing exporter ends with 20."""
BUILT = 22


def opset_of(graph: Path) -> set[int]:
    imports = onnx.load(graph, load_external_data=False).opset_import
    return {each.version for each in imports if each.domain in ("", "ai.onnx")}


def ask(graph: Path, names: list[str], ids: torch.Tensor, mask: torch.Tensor) -> list[np.ndarray]:
    feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    return [np.asarray(each) for each in open_session(str(graph)).run(names, feed)]


@pytest.mark.parametrize("opset", TRACED)
def test_an_embedder_s_float_and_served_graphs_embed_as_torch_does(opset: int, tmp_path: Path) -> None:
    save_encoder(tmp_path)
    network = SentenceEncoder(load_encoder(str(tmp_path)), dimensions=4).eval().requires_grad_(False)
    network.directions.normal_()
    ids = [each.ids for each in load_tokenizer(str(tmp_path), 48).encode_batch(TEXTS)]

    (tmp_path / "served").mkdir()
    floats = export(network, ids, tmp_path / "served", tmp_path, opset)

    assert opset_of(floats) == {opset}
    batch = pad(ids, CPU)
    wanted = [each.numpy() for each in network(*batch)]
    for name, got, want in zip(OUTPUTS, ask(floats, OUTPUTS, *batch), wanted, strict=True):
        assert np.abs(got - want).max() < 1e-5, name
    (served,) = ask(tmp_path / "served" / GRAPH, OUTPUTS[:1], *batch)
    assert (served * wanted[0]).sum(1).min() > 0.995


@pytest.mark.parametrize("opset", TRACED)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_reward_model_s_graph_rewards_as_torch_does(kind: str, opset: int, tmp_path: Path) -> None:
    if kind == "encoder":
        save_encoder(tmp_path)
    else:
        save_decoder(tmp_path, "llama")
    base = load_base(str(tmp_path), 4, tmp_path / "scratch")
    base.judge.directions.normal_()
    network = Served(base.judge).eval().requires_grad_(False)
    end = base.tokenizer.token_to_id(base.end_token)
    ids = [[*each.ids, end] for each in base.tokenizer.encode_batch(TEXTS)]

    traced, graph = tmp_path / "traced.onnx", tmp_path / "graph.onnx"
    trace(network, pad(ids[:3], CPU), REWARDED, traced, opset)
    if kind == "encoder":
        fuse(network.encoder.config, traced, graph)
    else:
        traced.rename(graph)

    assert opset_of(graph) == {opset}
    for rows in (ids, ids[3:4]):  # other shapes than those that were traced
        with torch.inference_mode():
            wanted = [each.numpy() for each in network(*pad(rows, CPU))]
        for got, want in zip(ask(graph, REWARDED, *pad(rows, CPU)), wanted, strict=True):
            assert np.abs(got - want).max() < 1e-4 * max(1.0, float(np.abs(want).max()))


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("name", ["boosting", "forest", "lightgbm", "logistic", "perceptron"])
def test_an_estimator_s_graph_answers_as_the_estimator_does(name: str, opset: int) -> None:
    rows, _ = factories.patients() if name == "forest" else factories.tumours()
    imported = import_estimator(getattr(factories, name)(), opset=opset)

    assert max(each.version for each in imported.graph.opset_import if not each.domain) <= opset
    off = parity(imported, {"X": rows})
    assert off is not None
    assert off < 1e-4


@pytest.mark.parametrize("opset", [OPSETS.start, 13, 17, OPSETS.stop - 1])
def test_a_finished_graph_of_any_operator_set_that_is_taken_is_computed(opset: int, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["X", "weight"], ["product"]), helper.make_node("Relu", ["product"], ["Y"])]
    tensors = [numpy_helper.from_array(weight, "weight")]
    asked, told = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size]) for name, size in (("X", 6), ("Y", 4))
    )
    graph = helper.make_graph(nodes, "finished", [asked], [told], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(made, tmp_path / "model.onnx")

    model = load_graph(tmp_path / "model.onnx")
    rows = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    got = run(ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]), {"X": rows})
    assert np.allclose(got["Y"], np.maximum(rows @ weight, 0), atol=1e-6)


@pytest.mark.parametrize("opset", [17, 21, BUILT])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_decoder_s_graph_scores_as_torch_does(family: str, opset: int, tmp_path: Path) -> None:
    """The builder writes one operator set; its operators mean the same in those before, and so may the graph say."""
    (tmp_path / "source").mkdir()
    save_decoder(tmp_path / "source", family)
    checkpoint = open_checkpoint(str(tmp_path / "source"), tmp_path)
    graph = build_graph(checkpoint, tmp_path / "graph")
    assert opset_of(graph) == {BUILT}
    _declare(graph, opset)

    ids = checkpoint.tokenizer.encode(" ".join(SAID)).ids[:24]
    with torch.inference_mode():
        wanted = checkpoint.model()(input_ids=torch.tensor([ids])).logits[0].numpy()
    got, _ = served_scores(graph, checkpoint.cache, ids)
    assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max()


def _declare(path: Path, opset: int) -> None:
    model = onnx.load(path)
    next(each for each in model.opset_import if not each.domain).version = opset
    onnx.save(model, path)
