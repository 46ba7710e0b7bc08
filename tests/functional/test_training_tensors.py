"""Models of other kinds from their sources to bundles that answer as the sources do, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.functional import factories

from pawl.bundle import Bundle, open_bundle
from pawl.errors import InvalidBundle, InvalidDataset, NotFound, UnsupportedRequest
from pawl.expectation import ExpectedError
from pawl.model import open_model
from pawl.profile import Profile
from pawl.tensors import TensorModel
from training.graphs import load_graph
from training.importing import import_module
from training.origin import Origin
from training.tensors import ERRORS, Knobs, package, parity

ORIGIN = Origin("mine", "1", "2026-07-14T09:00:00.000Z", "somebody/mine", "mit", "run-9", "abc123")
HERE = "tests.functional.factories"
CLASSIFIERS = ("boosting", "lightgbm", "logistic", "perceptron")


def answer(bundle: Bundle, **inputs: Any) -> dict[str, Any]:
    return open_model(bundle).predict(inputs).outputs


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_scikit_learn_or_lightgbm_answers_as_itself(name: str, tmp_path: Path) -> None:
    bundle = package(f"{HERE}:{name}", ORIGIN, Knobs(), tmp_path)

    rows, _ = factories.tumours()
    got = answer(bundle, X=rows)
    estimator = getattr(factories, name)()
    label, scores = (output.name for output in bundle.manifest.outputs)
    assert np.mean(got[label] == estimator.predict(rows)) > 0.99
    off = np.abs(got[scores] - estimator.predict_proba(rows)).max(1)
    assert np.mean(off < 1e-4) > 0.99
    assert bundle.manifest.labels == ["benign", "malignant"]
    assert [(each.name, each.datatype, each.shape) for each in bundle.manifest.inputs] == [("X", "FP32", [-1, 30])]
    assert [(each.datatype, each.shape) for each in bundle.manifest.outputs] == [("BYTES", [-1]), ("FP32", [-1, 2])]


@pytest.mark.parametrize("name", ["forest", "lightgbm_regression"])
def test_a_regression_answers_as_itself(name: str, tmp_path: Path) -> None:
    bundle = package(f"{HERE}:{name}", ORIGIN, Knobs(), tmp_path)
    rows, _ = factories.patients()
    (got,) = answer(bundle, X=rows).values()
    off = np.abs(got.reshape(-1) - getattr(factories, name)().predict(rows))
    assert np.mean(off < 0.02) > 0.99


def test_a_regression_with_labelled_data_knows_the_error_to_expect(tmp_path: Path) -> None:
    """Of patients with a high body mass the forest is further off than of others."""
    rows, progress = factories.patients()
    data, folder = tmp_path / "rows.npz", tmp_path / "bundle"
    folder.mkdir()
    np.savez(data, X=rows, progress=progress)

    bundle = package(f"{HERE}:forest", ORIGIN, Knobs(str(data), "progress", "float"), folder)

    known = ExpectedError.from_dict(json.loads((bundle.path / ERRORS).read_text(encoding="utf-8")))
    reference = Profile.from_json((bundle.path / "reference.json").read_text(encoding="utf-8"))
    (said,) = (each.reshape(-1) for each in answer(bundle, X=rows).values())
    off = np.abs(said - progress)
    assert known.losses.mean == pytest.approx(off.mean())
    assert known.estimate(reference).value == pytest.approx(off.mean(), rel=0.01)
    heavy = rows[:, 2] > np.median(rows[:, 2])
    recent = Profile.like(reference)
    recent.update(TensorModel(bundle).predict({"X": rows[heavy]}).features())
    assert known.estimate(recent).value == pytest.approx(off[heavy].mean(), rel=0.05)
    assert off[heavy].mean() > 1.05 * off.mean()


def test_a_classifier_with_labelled_data_keeps_no_errors(tmp_path: Path) -> None:
    rows, labels = factories.tumours()
    data, folder = tmp_path / "rows.npz", tmp_path / "bundle"
    folder.mkdir()
    np.savez(data, X=rows[:60], kind=labels[:60])

    package(f"{HERE}:logistic", ORIGIN, Knobs(str(data), "kind", "float"), folder)

    assert not (folder / ERRORS).exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_network_of_scikit_learn_is_stored_smaller_where_its_data_bear_it(form: str, tmp_path: Path) -> None:
    data = factories.save_rows(tmp_path / f"tumours.{form}", factories.tumours(), "diagnosis")
    (tmp_path / "bundle").mkdir()

    bundle = package(f"{HERE}:perceptron", ORIGIN, Knobs(str(data), "diagnosis", latency_share=99), tmp_path / "bundle")

    points = bundle.manifest.metrics["compression"]
    (chosen,) = (point for point in points if point["chosen"])
    assert [point["name"] for point in points] == ["float", "int8", "static", "int4", "mixed"]
    assert chosen["name"] != "float"
    assert chosen["quality"] >= points[0]["quality"] - 0.005
    assert chosen["bytes"] < points[0]["bytes"] / 2
    assert bundle.manifest.metrics["quality_of"] == "accuracy on the data's labels"
    reference = Profile.from_json((bundle.path / "reference.json").read_bytes())
    assert reference.rows == len(factories.tumours()[0])
    assert {"X_0", "X_29"} < set(reference.columns)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factories.save_rows(tmp_path_factory.mktemp("data") / "digits.npz", factories.digits(), "digit")


@pytest.mark.parametrize("way", ["float", "int8", "static", "int4", "mixed"])
def test_an_image_classifier_of_torch_answers_as_torch_does(way: str, images: Path, tmp_path: Path) -> None:
    bundle = package(f"{HERE}:image_classifier", ORIGIN, Knobs(str(images), "digit", way), tmp_path)

    network, _ = factories.image_classifier()
    rows, labels = (each[1::2][:300] for each in factories.digits())
    got = answer(bundle, input=rows)["output"]
    wanted = network(factories.torch.from_numpy(rows)).detach().numpy()
    assert np.mean(got.argmax(1) == wanted.argmax(1)) > (0.999 if way == "float" else 0.97)
    if way == "float":
        assert np.abs(got - wanted).max() < 1e-3
    assert np.mean(got.argmax(1) == labels) > 0.9
    assert bundle.manifest.quantization["weights"] == way
    assert (
        bundle.manifest.metrics["bytes_ratio"] == 1 if way == "float" else bundle.manifest.metrics["bytes_ratio"] < 0.6
    )


def test_an_image_classifier_of_torch_is_attacked_along_its_gradients_and_its_card_tells(
    images: Path, tmp_path: Path
) -> None:
    bundle = package(f"{HERE}:image_classifier", ORIGIN, Knobs(str(images), "digit", "float"), tmp_path)

    (found,) = bundle.manifest.metrics["robustness"].values()
    assert found["rows"] == 500
    assert 0.2 < found["accuracy"] < found["before"] - 0.05
    assert "| projected gradient, 0.1 deviations | 500 |" in (tmp_path / "card.md").read_text()


def test_a_model_without_gradients_is_not_attacked_along_them(tmp_path: Path) -> None:
    data = factories.save_rows(tmp_path / "tumours.npz", factories.tumours(), "diagnosis")

    (tmp_path / "bundle").mkdir()

    bundle = package(f"{HERE}:logistic", ORIGIN, Knobs(str(data), "diagnosis"), tmp_path / "bundle")

    assert bundle.manifest.metrics["robustness"] == {}


def test_inputs_and_outputs_have_the_names_that_the_module_gives_them(tmp_path: Path) -> None:
    bundle = package(f"{HERE}:two_heads", ORIGIN, Knobs(), tmp_path)
    module, (left, right) = factories.two_heads()
    got = answer(bundle, left=left.numpy(), right=right.numpy())
    for name, want in zip(("output_0", "output_1"), module(left, right), strict=True):
        assert np.abs(got[name] - want.detach().numpy()).max() < 1e-5
    assert [each.shape for each in bundle.manifest.outputs] == [[-1, 32], [-1]]
    assert set(bundle.manifest.files) == {"model.onnx", "model.onnx.data", "card.md"}


def product(rows: Any = "rows", opset: int = 17, domain: str = "") -> onnx.ModelProto:
    """y = x . w, 64 to 8; `rows` is its first dimension."""
    weight = np.random.default_rng(4).standard_normal((64, 8)).astype(np.float32)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width]) for name, width in (("x", 64), ("y", 8))
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_finished_graph_with_external_data_is_packaged(tmp_path: Path) -> None:
    source, folder = tmp_path / "product.onnx", tmp_path / "bundle"
    folder.mkdir()
    onnx.save(product(), source, save_as_external_data=True, location="product.weights", size_threshold=0)

    bundle = package(str(source), ORIGIN, Knobs(), folder)

    model = open_model(open_bundle(folder))
    assert isinstance(model, TensorModel)
    x = np.random.default_rng(5).standard_normal((3, 64)).astype(np.float32)
    weight = numpy_helper.to_array(product().graph.initializer[0])
    assert np.abs(answer(bundle, x=x)["y"] - x @ weight).max() < 1e-4
    assert bundle.manifest.lineage.base_licence == "mit"
    assert bundle.manifest.metrics["float_difference"] is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"no graph"), "is no valid ONNX graph"),
        (lambda path: onnx.save(product(rows=1), path), "its first dimension, the rows, must be open"),
        (lambda path: onnx.save(product(opset=7), path), "is of opset 7: want 9 to 21"),
        (lambda path: onnx.save(product(domain="own.ops"), path), "operators of 'own.ops'"),
    ],
    ids=["bytes", "fixed rows", "old", "foreign"],
)
def test_a_graph_that_cannot_be_served_is_refused_by_what_would_be_right(
    make: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "model.onnx")
    with pytest.raises(InvalidBundle, match=said):
        package(str(tmp_path / "model.onnx"), ORIGIN, Knobs(), tmp_path)


def test_external_data_that_is_missing_is_named(tmp_path: Path) -> None:
    onnx.save(product(), tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()
    with pytest.raises(InvalidBundle, match="weights"):
        load_graph(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("nowhere.onnx", NotFound, "no such file"),
        ("model.pkl", UnsupportedRequest, r"want a file that ends in \.onnx"),
        ("tests.functional.absent:make", NotFound, "absent"),
        (f"{HERE}:absent", NotFound, "absent"),
        (f"{HERE}:nothing", UnsupportedRequest, "a factory returned dict"),
    ],
    ids=["no file", "pickle", "no module", "no factory", "no model"],
)
def test_a_source_that_is_no_model_is_refused(source: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        package(source, ORIGIN, Knobs(), tmp_path)


@pytest.mark.parametrize(
    ("content", "label", "said"),
    [
        ("a,b\n1,2\n3,4\n5,6\n7,8\n", "", "has the columns a, b: want 'x'"),
        ("a,b\n1,2\n", "c", "has no column 'c'"),
        (",".join(f"c{i}" for i in range(64)) + "\n" + ",".join("1" * 64) + "\n", "", "want at least 4 rows"),
    ],
    ids=["columns", "label", "rows"],
)
def test_data_that_do_not_fit_the_graph_are_refused(content: str, label: str, said: str, tmp_path: Path) -> None:
    onnx.save(product(), tmp_path / "model.onnx")
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(InvalidDataset, match=said):
        package(str(tmp_path / "model.onnx"), ORIGIN, Knobs(str(tmp_path / "rows.csv"), label), tmp_path)


def test_pickled_arrays_are_not_read(tmp_path: Path) -> None:
    onnx.save(product(), tmp_path / "model.onnx")
    np.savez(tmp_path / "rows.npz", x=np.array([{"an": "object"}] * 4, object))
    with pytest.raises(InvalidDataset, match="cannot be read"):
        package(str(tmp_path / "model.onnx"), ORIGIN, Knobs(str(tmp_path / "rows.npz")), tmp_path)


def test_a_way_that_needs_data_is_refused_without_them(tmp_path: Path) -> None:
    onnx.save(product(), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedRequest, match="static and mixed need data"):
        package(str(tmp_path / "model.onnx"), ORIGIN, Knobs(quantize="static"), tmp_path)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_a_torch_module_s_graph_answers_as_torch_does_in_every_operator_set(opset: int) -> None:
    network, images = factories.image_classifier()
    imported = import_module(network, images, opset)
    assert {each.version for each in imported.graph.opset_import if not each.domain} == {opset}
    off = parity(imported, {"input": factories.digits()[0][:50]})
    assert off is not None
    assert off < 1e-5
