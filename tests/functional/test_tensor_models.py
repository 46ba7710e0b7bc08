"""Models that take and give tensors: every datatype, rows of any width, several models side by side."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.functional.tensor_models import DATATYPES, seal_mirror, seal_sums

from inference.tensors import DTYPES
from pawl.bundle import Bundle, Tensor, open_bundle, parse_manifest, seal
from pawl.errors import InvalidBundle, InvalidRequest
from pawl.model import open_model
from pawl.tensors import features_of

INFER = "/v2/models/{model}/infer"
HEADER = "Inference-Header-Content-Length"
VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True, True],
    "FP32": [0.1, -1e38, 3.0, 0.0],
    "FP64": [0.1, -1e308, 3.0, 5e-324],
    "BYTES": ["", "no light", "światło", "\x00"],
}


@pytest.fixture
def folders(layer: Callable[[Bundle], Path], starter: Bundle, tmp_path: Path) -> dict[str, Path]:
    """A text classifier and two tensor models in one layer."""
    return {
        "triage": layer(starter),
        "mirror": layer(seal_mirror(tmp_path / "mirror")),
        "sums": layer(seal_sums(tmp_path / "sums")),
    }


@pytest.fixture
def app(start: Callable[[str], ModuleType], folders: dict[str, Path]) -> Iterator[ModuleType]:
    module = start("inference.app")
    yield module
    assert module.capture.flush(10)


@pytest.fixture
def infer(app: ModuleType, context: Any, rest: Callable[..., dict[str, Any]]) -> Callable[..., tuple[int, Any, bytes]]:
    """Asks a model: status, the reply's JSON, and what follows it."""

    def ask(model: str, body: Any, binary: bytes = b"") -> tuple[int, Any, bytes]:
        event = rest("POST", INFER, None, model=model)
        text = json.dumps(body).encode()
        event |= {"body": base64.b64encode(text + binary).decode(), "isBase64Encoded": True}
        if binary:
            event["headers"] = {**event["headers"], HEADER: str(len(text))}
        reply = app.handler(event, context)
        raw = base64.b64decode(reply["body"]) if reply.get("isBase64Encoded") else reply["body"].encode()
        length = int(reply["headers"].get(HEADER, len(raw)))
        return reply["statusCode"], json.loads(raw[:length]), raw[length:]

    return ask


def values_of(datatype: str) -> list[Any]:
    if datatype in VALUES:
        return VALUES[datatype]
    if datatype == "FP16":
        return [0.5, -65504.0, 0.0, 6e-8]
    about = np.iinfo(DTYPES[datatype])
    return [int(about.min), int(about.max), 0, 7]


def raw_of(datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values_of(datatype))
    return np.array(values_of(datatype), DTYPES[datatype]).tobytes()


def mirror_inputs(shape: list[int]) -> tuple[list[dict[str, Any]], bytes]:
    """All datatypes of the mirror: numbers in halves as bytes, and every other one too."""
    inputs, binary = [], b""
    for position, datatype in enumerate(DATATYPES):
        tensor: dict[str, Any] = {"name": datatype.lower(), "datatype": datatype, "shape": shape}
        if position % 2 or datatype == "FP16":
            tensor["parameters"] = {"binary_data_size": len(raw_of(datatype))}
            binary += raw_of(datatype)
        else:
            tensor["data"] = values_of(datatype)
        inputs.append(tensor)
    return inputs, binary


@pytest.mark.parametrize("shape", [[1, 4], [2, 2], [4, 1]])
def test_every_datatype_comes_back_as_it_went_in_bytes_in_rows_of_any_width(
    infer: Callable[..., tuple[int, Any, bytes]], shape: list[int]
) -> None:
    inputs, binary = mirror_inputs(shape)

    status, reply, raw = infer("mirror", {"inputs": inputs, "parameters": {"binary_data_output": True}}, binary)

    assert (status, reply["model_name"]) == (200, "mirror")
    assert [(out["name"], out["datatype"], out["shape"]) for out in reply["outputs"]] == [
        (f"{datatype.lower()}_back", datatype, shape) for datatype in DATATYPES
    ]
    assert raw == b"".join(map(raw_of, DATATYPES))
    assert sum(out["parameters"]["binary_data_size"] for out in reply["outputs"]) == len(raw)


def test_every_datatype_but_half_precision_comes_back_in_json(infer: Callable[..., tuple[int, Any, bytes]]) -> None:
    inputs, binary = mirror_inputs([2, 2])
    wanted = [datatype for datatype in DATATYPES if datatype != "FP16"]
    outputs = [{"name": f"{datatype.lower()}_back"} for datatype in wanted]

    status, reply, _ = infer("mirror", {"inputs": inputs, "outputs": outputs}, binary)

    assert status == 200
    for datatype, output in zip(wanted, reply["outputs"], strict=True):
        expected = values_of(datatype)
        if datatype == "FP32":
            expected = np.array(expected, np.float32).tolist()
            output["data"] = np.array(output["data"], np.float32).tolist()
        assert (output["shape"], output["data"]) == ([2, 2], expected), datatype


def sums_request(rows: int = 2, matrix: Any = None, **changes: Any) -> dict[str, Any]:
    left = [[float(3 * row + i) for i in range(3)] for row in range(rows)]
    matrix = matrix or [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    tensors = {"left": left, "right": [[10.0] * 3] * rows, "matrix": matrix}
    inputs = [
        {"name": name, "datatype": "FP32", "shape": list(np.shape(data)), "data": data}
        for name, data in tensors.items()
    ]
    return {"inputs": inputs, **changes}


def test_a_graph_is_computed_and_only_what_was_asked_for_is_given(
    infer: Callable[..., tuple[int, Any, bytes]],
) -> None:
    body = sums_request(3, outputs=[{"name": "total"}, {"name": "times"}, {"name": "sums"}])

    status, reply, _ = infer("sums", body)

    assert status == 200
    assert [(out["name"], out["shape"], out["data"]) for out in reply["outputs"]] == [
        ("total", [3], [33.0, 42.0, 51.0]),
        ("times", [3, 2], [13.0, 16.0, 40.0, 52.0, 67.0, 88.0]),
        ("sums", [3, 3], [10.0 + i for i in range(9)]),
    ]


def test_scores_are_classified_with_the_models_labels(infer: Callable[..., tuple[int, Any, bytes]]) -> None:
    body = sums_request(3, outputs=[{"name": "sums", "parameters": {"classification": 2}}])

    _, reply, _ = infer("sums", body)

    (output,) = reply["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [3, 2])
    assert output["data"][:2] == ["12.000000:2:high", "11.000000:1:middle"]


def test_inputs_of_different_rows_are_refused(infer: Callable[..., tuple[int, Any, bytes]]) -> None:
    body = sums_request(2)
    body["inputs"][1] |= {"shape": [1, 3], "data": [1.0, 2.0, 3.0]}

    status, reply, _ = infer("sums", body)

    assert (status, reply) == (400, {"error": "the inputs have different numbers of rows: [1, 2]"})


def test_what_the_graph_cannot_compute_is_refused_with_the_shapes(
    layer: Callable[[Bundle], Path], infer: Callable[..., tuple[int, Any, bytes]], folders: dict[str, Path]
) -> None:
    seal_again(folders["sums"], lambda about: about["inputs"].__setitem__(2, Tensor("matrix", "FP32", [-1, -1])))

    status, reply, _ = infer("sums", sums_request(2, [[1.0], [2.0]]))

    shapes = "left [2, 3], right [2, 3], matrix [2, 1]"
    assert (status, reply) == (400, {"error": f"sums cannot compute with inputs of these shapes: {shapes}"})


def seal_again(folder: Path, change: Callable[[dict[str, Any]], None]) -> Bundle:
    """The bundle in `folder` with another manifest."""
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    about = {name: getattr(manifest, name) for name in manifest.__slots__ if name not in ("files", "schema")}
    change(about)
    return seal(folder, **about)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([("left", "FP64"), ("right", "FP32"), ("matrix", "FP32")], "input 'left' is tensor.float., the manifest says"),
        ([("write", "FP32"), ("right", "FP32"), ("matrix", "FP32")], "input 'write' is None, the manifest says FP32"),
        ([("right", "FP32"), ("matrix", "FP32")], "input 'left' is not in the manifest"),
    ],
)
def test_a_manifest_that_says_otherwise_than_the_graph_is_not_served(
    tmp_path: Path, inputs: list[tuple[str, str]], message: str
) -> None:
    seal_sums(tmp_path)
    bundle = seal_again(tmp_path, lambda about: about.update(inputs=[Tensor(*each, [-1, 3]) for each in inputs]))

    with pytest.raises(InvalidBundle, match=f"model.onnx: {message}"):
        open_model(bundle)


def test_a_raw_body_is_refused_by_a_model_of_several_inputs(
    app: ModuleType, rest: Callable[..., dict[str, Any]], context: Any
) -> None:
    event = rest("POST", INFER, "raw", model="sums")
    event["headers"] = {**event["headers"], HEADER: "0"}

    reply = app.handler(event, context)

    assert reply["statusCode"] == 400
    assert json.loads(reply["body"])["error"].startswith("sums takes no raw body")


def test_models_of_several_kinds_stand_side_by_side(
    app: ModuleType, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], context: Any
) -> None:
    index = body_of(app.handler(rest("POST", "/v2/repository/index", {}), context))

    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("mirror", "1", "READY"),
        ("sums", "1", "READY"),
        ("triage", "1", "READY"),
    ]
    about = body_of(app.handler(rest("GET", "/v2/models/{model}", model="sums"), context))
    assert (about["platform"], about["properties"]["kind"]) == ("onnx_onnxv1", "tensors")
    assert about["inputs"][2] == {"name": "matrix", "datatype": "FP32", "shape": [3, -1]}


def test_few_numbers_are_captured_row_by_row_and_wide_rows_are_not(
    app: ModuleType, infer: Callable[..., tuple[int, Any, bytes]], cloud: Any
) -> None:
    infer("sums", sums_request(2, outputs=[{"name": "total"}]))
    infer("sums", sums_request(1, [[1.0] * 100] * 3))
    assert app.capture.flush(10)

    narrow, wide = sorted(cloud.messages("capture"), key=lambda record: record["unix_ms"])

    assert narrow["inputs"]["left"] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert narrow["inputs"]["matrix"] == [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]] * 2
    assert narrow["outputs"]["total"] == [33.0, 42.0]
    assert (set(wide["inputs"]), set(wide["outputs"])) == ({"left", "right"}, {"sums", "total"})
    assert set(wide["features"]) == set(narrow["features"])
    assert narrow["features"]["sums_2"] == [12.0, 15.0]
    assert set(narrow["features"]) == {f"{name}_{i}" for name in ("left", "right", "sums") for i in range(3)} | {
        "total",
        "latency_ms",
    }


def test_the_same_answer_has_the_same_digest_whatever_the_order_of_its_inputs(
    infer: Callable[..., tuple[int, Any, bytes]], keys: Any, now_ms: int
) -> None:
    body = sums_request(2)
    replies = [infer("sums", {"inputs": inputs})[1] for inputs in (body["inputs"], body["inputs"][::-1])]
    ids = [reply["parameters"]["inference_id"] for reply in replies]
    digests = {keys.verify(each, now_ms=now_ms, valid_days=1).input_digest for each in ids}

    assert len(digests) == 1


def test_texts_of_several_columns_have_a_digest_of_what_they_say(
    infer: Callable[..., tuple[int, Any, bytes]], keys: Any, now_ms: int
) -> None:
    digests = []
    for last in ("c", "c", "d"):
        inputs, binary = mirror_inputs([1, 4])
        size = inputs[1]["parameters"]["binary_data_size"]
        inputs[1] = {"name": "bytes", "datatype": "BYTES", "shape": [1, 4], "data": ["a", "b", "", last]}
        _, reply, _ = infer("mirror", {"inputs": inputs, "outputs": [{"name": "bytes_back"}]}, binary[size:])
        receipt = keys.verify(reply["parameters"]["inference_id"], now_ms=now_ms, valid_days=1)
        digests.append(receipt.input_digest)

    assert digests[0] == digests[1] != digests[2]


def test_a_tensor_model_without_rows_is_profiled_as_one_row(tmp_path: Path) -> None:
    seal_sums(tmp_path)

    def fix(about: dict[str, Any]) -> None:
        about["inputs"] = [
            Tensor("left", "FP32", [2, 3]),
            Tensor("right", "FP32", [2, 3]),
            Tensor("matrix", "FP32", [3, 1]),
        ]
        about["outputs"] = [Tensor("total", "FP32", [2])]

    model = open_model(seal_again(tmp_path, fix))
    ones = {"left": np.ones((2, 3), "f4"), "right": np.ones((2, 3), "f4"), "matrix": np.ones((3, 1), "f4")}

    features = model.predict(ones).features()

    assert (features["total_0"], features["total_1"], features["left_5"]) == ([6.0], [6.0], [1.0])
    assert len(features) == 2 + 6 + 6 + 3


def test_an_answer_with_other_rows_than_the_question_is_profiled_as_missing(tmp_path: Path) -> None:
    seal_sums(tmp_path)
    bundle = seal_again(tmp_path, lambda about: about["outputs"].__setitem__(1, Tensor("total", "FP32", [-1])))
    model: Any = open_model(open_bundle(bundle.path))
    left = np.ones((2, 3), "f4")

    tensors = {
        "left": left,
        "right": left,
        "matrix": np.ones((3, 1), "f4"),
        "sums": left,
        "total": np.ones(3),
        "times": left,
    }
    assert features_of(model.manifest, tensors)["total"] == [None, None]
    with pytest.raises(InvalidRequest, match=r"matrix \[2, 1\]"):
        model.predict({"left": left, "right": left, "matrix": np.ones((2, 1), "f4")})
