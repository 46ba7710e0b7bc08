"""A tiny classifier made smaller in every way there is: each graph answers as the network that it was made from."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tests.functional.checkpoints import SAID, save_encoder
from tokenizers import Tokenizer

from pawl.errors import UnsupportedRequest
from pawl.model import open_session
from training.classifier import Classifier, load_encoder, load_tokenizer, pad
from training.compression import PLANS, Candidates, Effort, Plan, Sample, compress
from training.export import GRAPH, OUTPUTS, feeds, fuse, trace, write_served
from training.pareto import draw
from training.prune import NOTHING, Pruning, importance, masks_of, prune
from training.quantize import WAYS
from training.recovery import Recovery, recover
from training.search import Budget

TEXTS = [f"{first} {second}" for first in SAID for second in (*SAID, "a late invoice", "my street", "i look into it")]
PRUNINGS = {
    "neurons": Pruning(neurons=1 / 4),
    "heads": Pruning(heads=1 / 2),
    "a layer": Pruning(layers=1),
    "two of four": Pruning(is_two_of_four=True),
    "zeros": Pruning(zeros=1 / 2),
    "heads and neurons": Pruning(neurons=1 / 2, heads=1 / 4),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Tokenizer:
    return load_tokenizer(str(base), 48)


@pytest.fixture(scope="module")
def classifier(base: Path) -> Classifier:
    torch.manual_seed(1)
    made = Classifier(load_encoder(str(base)), labels=3, dimensions=4, dropout=0.1).eval().requires_grad_(False)
    made.head.weight.mul_(30)
    made.directions.normal_()
    return made


@pytest.fixture(scope="module")
def sample(classifier: Classifier, tokenizer: Tokenizer) -> Sample:
    """Labels are what the float classifier says: what is lost is lost by compressing."""
    ids = [each.ids for each in tokenizer.encode_batch(TEXTS)]
    labels = torch.tensor([int(answer_of(classifier, row).argmax()) for row in ids])
    return Sample(ids, labels, ids, labels)


def answer_of(classifier: Classifier, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return classifier(*pad([ids], torch.device("cpu")))[0][0].numpy()


def loss(classifier: Classifier, sample: Sample):
    return lambda ids, mask, row: torch.nn.functional.cross_entropy(
        classifier.head(classifier.embed(ids, mask)), sample.learned_labels[[row]]
    )


def pruned_by(pruning: Pruning, classifier: Classifier, sample: Sample) -> Classifier:
    return prune(classifier, pruning, importance(classifier, sample.learned, loss(classifier, sample)))


@pytest.mark.parametrize("name", sorted(PRUNINGS))
def test_a_pruned_network_s_float_graph_answers_as_torch_does_and_its_int8_graph_nearly(
    name: str, classifier: Classifier, sample: Sample, tmp_path: Path
) -> None:
    candidates = Candidates(classifier, sample, tmp_path)
    (tmp_path / "served").mkdir()

    _, difference = candidates.floats(PRUNINGS[name])
    candidates.write(Plan(name, "int8", PRUNINGS[name]), tmp_path / "served")

    assert difference < 1e-4
    pruned = candidates.network(PRUNINGS[name])
    session = open_session(str(tmp_path / "served" / GRAPH))
    for feed, row in zip(feeds(sample.judged[:4]), sample.judged, strict=False):
        got = session.run(OUTPUTS[:1], dict(feed))[0][0]
        assert np.abs(got - answer_of(pruned, row)).max() < 0.1


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_way_to_store_weights_keeps_most_answers(
    way: str, classifier: Classifier, sample: Sample, tmp_path: Path
) -> None:
    Candidates(classifier, sample, tmp_path).write(Plan(way, way), tmp_path)

    session = open_session(str(tmp_path / GRAPH))
    got = [session.run(OUTPUTS[:1], dict(feed))[0][0] for feed in feeds(sample.judged)]
    wanted = [answer_of(classifier, row) for row in sample.judged]
    assert np.mean([a.argmax() == b.argmax() for a, b in zip(got, wanted, strict=True)]) >= 0.9
    assert np.abs(np.array(got) - np.array(wanted)).max() < (1e-5 if way == "float" else 0.25)
    operators = {node.op_type for node in onnx.load(tmp_path / GRAPH, load_external_data=False).graph.node}
    assert ("MatMulNBits" in operators) == (way in ("int4", "mixed"))
    assert ("QAttention" in operators) == (way != "float")


def test_pruning_takes_as_much_out_of_every_layer(classifier: Classifier, sample: Sample) -> None:
    pruned = pruned_by(PRUNINGS["heads and neurons"], classifier, sample)

    for layer in pruned.layers():
        assert layer.intermediate.dense.weight.shape == (64, 64)
        assert layer.attention.self.query.weight.shape == (48, 64)
        assert layer.attention.output.dense.weight.shape == (64, 48)
    assert (pruned.encoder.config.num_attention_heads, pruned.encoder.config.intermediate_size) == (3, 64)
    assert classifier.encoder.config.num_attention_heads == 4


def test_what_is_left_out_is_what_the_loss_needs_least(classifier: Classifier, sample: Sample) -> None:
    worth = importance(classifier, sample.learned, loss(classifier, sample))
    pruned = prune(classifier, Pruning(neurons=1 / 2), worth)

    best = worth.neurons[0].topk(64).indices.sort().values
    kept = pruned.layers()[0].intermediate.dense.weight
    assert torch.equal(kept, classifier.layers()[0].intermediate.dense.weight[best])


def test_recovery_brings_the_embeddings_back_and_leaves_zeros_zero(classifier: Classifier, sample: Sample) -> None:
    for pruning in (PRUNINGS["neurons"], PRUNINGS["two of four"]):
        pruned = pruned_by(pruning, classifier, sample)
        masks = masks_of(pruned, pruning)
        first = recover(pruned, classifier, sample.learned, Recovery(epochs=1), masks)
        last = recover(pruned, classifier, sample.learned, Recovery(epochs=10), masks)
        assert last < first / 2
        for matrix, mask in masks:
            assert int((matrix.weight == 0).sum()) >= int((mask == 0).sum()) > 0


def test_the_same_search_twice_finds_the_same(
    classifier: Classifier, tokenizer: Tokenizer, sample: Sample, tmp_path: Path
) -> None:
    found = []
    plans = (*PLANS[:2], PLANS[3], Plan("mixed", "mixed"))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        found.append(compress(classifier, tokenizer, sample, tmp_path / name, lambda: 0.0, Effort(plans)))

    one, other = ([{**p.to_dict(), "latency_ms": 0, "front": None} for p in each.points] for each in found)
    assert one == other
    assert [point["name"] for point in one] == [plan.name for plan in plans]
    assert (tmp_path / "one" / GRAPH).read_bytes() == (tmp_path / "other" / GRAPH).read_bytes()
    assert draw(found[0].points)[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_is_chosen_is_what_is_left_in_the_folder(
    classifier: Classifier, tokenizer: Tokenizer, sample: Sample, tmp_path: Path
) -> None:
    compressed = compress(
        classifier, tokenizer, sample, tmp_path, lambda: 0.0, Effort(PLANS[:2]), Budget(bytes_share=0.9)
    )

    assert [point.is_chosen for point in compressed.points] == [False, True]
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data", "tokenizer.json"}
    assert sum((tmp_path / name).stat().st_size for name in (GRAPH, "model.onnx.data")) == compressed.points[1].bytes
    assert compressed.exported.quantization["candidate"] == "int8"
    session = ort.InferenceSession(str(tmp_path / GRAPH))
    renumbered = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    row = renumbered.encode(TEXTS[0]).ids
    assert (
        np.abs(session.run(OUTPUTS[:1], dict(feeds([row])[0]))[0][0] - answer_of(classifier, sample.judged[0])).max()
        < 0.1
    )


def test_when_time_is_up_the_first_two_have_still_been_tried(
    classifier: Classifier, tokenizer: Tokenizer, sample: Sample, tmp_path: Path
) -> None:
    hours = iter(range(0, 10_000, 3600))
    compressed = compress(classifier, tokenizer, sample, tmp_path, lambda: float(next(hours)), Effort.named("all"))
    assert [point.name for point in compressed.points] == ["float", "int8"]
    assert Candidates(classifier, sample, tmp_path).network(NOTHING) is classifier


def test_an_effort_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnsupportedRequest, match="candidates 'most': want few or all"):
        Effort.named("most")


@pytest.mark.parametrize("opset", [14, 17, 20])
def test_a_classifier_s_graph_answers_as_torch_does_in_every_operator_set(
    opset: int, classifier: Classifier, sample: Sample, tmp_path: Path
) -> None:
    traced, fused = tmp_path / "traced.onnx", tmp_path / "fused.onnx"
    trace(classifier, pad(sample.judged[:3], torch.device("cpu")), OUTPUTS, traced, opset)
    fuse(classifier.encoder.config, traced, fused)
    served_bytes = write_served(fused, sample.learned, tmp_path, "int8")

    assert {each.version for each in onnx.load(traced).opset_import if not each.domain} == {opset}
    assert served_bytes > 0
    for graph, limit in ((fused, 1e-5), (tmp_path / GRAPH, 0.25)):
        session = open_session(str(graph))
        got = np.concatenate([session.run(OUTPUTS[:1], dict(feed))[0] for feed in feeds(sample.judged)])
        wanted = np.stack([answer_of(classifier, row) for row in sample.judged])
        assert np.abs(got - wanted).max() < limit
        assert np.mean(got.argmax(1) == wanted.argmax(1)) >= 0.9
