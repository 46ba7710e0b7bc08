"""The protocol's own client, `tritonclient[http]` as it comes, against the function behind API Gateway."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.functional.gateway import routes_of_template, serve
from tests.functional.tensor_models import DATATYPES, seal_mirror, seal_sums
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from pawl.bundle import Bundle
from pawl.receipt import ReceiptKeys

NUMPY: dict[str, Any] = {
    "BOOL": np.bool_,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    **{f"{kind.upper()}{bits}": np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


@pytest.fixture
def folders(
    layer: Callable[[Bundle], Path], starter: Bundle, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> dict[str, Path]:
    """Two versions of a classifier, the older one live, and two tensor models."""
    folders = {"1": layer(starter), "2": layer(make_bundle("2", "any", right=[]))}
    (folders["1"].parent / "aliases.json").write_text('{"live": "1", "candidate": "2"}')
    return {**folders, "mirror": layer(seal_mirror(tmp_path / "m")), "sums": layer(seal_sums(tmp_path / "s"))}


@pytest.fixture
def app(start: Callable[[str], ModuleType], folders: dict[str, Path]) -> Iterator[ModuleType]:
    module = start("inference.app")
    yield module
    assert module.capture.flush(10)


@pytest.fixture
def client(app: ModuleType, context: Any) -> Iterator[InferenceServerClient]:
    with (
        serve(app.handler, routes_of_template("InferenceFunction"), context) as url,
        InferenceServerClient(url, network_timeout=20) as connected,
    ):
        yield connected


def text_input(*texts: str, is_binary: bool = True) -> InferInput:
    tensor = InferInput("text", [len(texts)], "BYTES")
    return tensor.set_data_from_numpy(np.array(texts, np.object_), binary_data=is_binary)


def numbers(name: str, values: Any, datatype: str = "FP32", is_binary: bool = True) -> InferInput:
    array = np.asarray(values, NUMPY[datatype])
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=is_binary)


def labels_of(result: Any) -> list[str]:
    found = result.as_numpy("label").tolist()
    return [each.decode() if isinstance(each, bytes) else each for each in found]


def test_the_server_is_live_and_ready_and_says_what_it_offers(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("triage")
    assert client.get_server_metadata() == {
        "name": "pawl",
        "version": "2",
        "extensions": ["binary_tensor_data", "classification", "model_repository", "statistics"],
    }


def test_what_is_not_there_is_not_ready(client: InferenceServerClient, folders: dict[str, Path]) -> None:
    (folders["2"] / "model.onnx").unlink()

    assert client.is_model_ready("triage", "1")
    assert not client.is_model_ready("triage", "2")
    assert not client.is_model_ready("triage", "candidate")
    assert not client.is_model_ready("nobody")
    states = {(each["name"], each["version"]): each for each in client.get_model_repository_index()}
    assert states["triage", "1"]["state"] == "READY"
    assert states["triage", "2"]["state"] == "UNAVAILABLE"
    assert states["triage", "2"]["reason"] == "triage 2: model.onnx is missing"


def test_metadata_of_a_version_and_of_an_alias_is_that_versions(client: InferenceServerClient) -> None:
    asked = {version: client.get_model_metadata("triage", version) for version in ("", "1", "2", "live", "candidate")}

    assert {version: about["properties"]["version"] for version, about in asked.items()} == {
        "": "1",
        "1": "1",
        "2": "2",
        "live": "1",
        "candidate": "2",
    }
    assert asked[""]["versions"] == ["1", "2"]
    assert asked[""]["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def test_texts_are_answered_in_json_and_in_bytes(client: InferenceServerClient) -> None:
    for is_binary, is_binary_back in itertools.product((True, False), repeat=2):
        inputs = [text_input("refund my invoice", "password", is_binary=is_binary)]
        outputs = [InferRequestedOutput(name, binary_data=is_binary_back) for name in ("label", "probabilities")]

        result = client.infer("triage", inputs, outputs=outputs, request_id="ticket-4711")

        assert labels_of(result) == ["billing", "account"]
        assert result.as_numpy("probabilities").shape == (2, 3)
        assert result.as_numpy("probabilities")[1].tolist() == pytest.approx([0.1, 0.8, 0.1], abs=1e-6)
        assert (result.get_response()["id"], result.get_response()["model_version"]) == ("ticket-4711", "1")


def test_texts_of_any_script_pass_by_default_as_bytes(client: InferenceServerClient, app: ModuleType) -> None:
    result = client.infer("triage", [text_input("refund światło 🙂", "")])

    assert labels_of(result)[0] == "billing"
    assert "binary_data_size" in result.get_output("label")["parameters"]


def test_an_answer_carries_a_receipt_that_feedback_takes(
    client: InferenceServerClient, keys: ReceiptKeys, now_ms: int
) -> None:
    response = client.infer("triage", [text_input("refund")]).get_response()

    receipt = keys.verify(response["parameters"]["inference_id"], now_ms=now_ms, valid_days=1)
    assert (receipt.model, receipt.model_version, receipt.function_version) == ("triage", "1", "3")
    assert response["id"] == response["parameters"]["inference_id"]


def test_a_version_answers_by_its_number_or_its_alias(client: InferenceServerClient) -> None:
    asked = ("", "live", "1", "candidate", "2")
    results = [client.infer("triage", [text_input("refund")], model_version=version) for version in asked]

    assert [labels_of(result)[0] for result in results] == ["billing"] * 3 + ["account"] * 2
    assert [result.get_response()["model_version"] for result in results] == ["1"] * 3 + ["2"] * 2


@pytest.mark.parametrize("is_binary", [True, False])
def test_classes_come_best_first_with_their_labels(client: InferenceServerClient, is_binary: bool) -> None:
    wanted = [InferRequestedOutput("probabilities", binary_data=is_binary, class_count=2)]

    result = client.infer("triage", [text_input("password", "hello")], outputs=wanted)

    classes = result.as_numpy("probabilities")
    assert classes.shape == (2, 2)
    best = [each.decode() if isinstance(each, bytes) else each for each in classes[:, 0]]
    assert best == ["0.800000:1:account", "0.800000:2:other"]


@pytest.mark.parametrize("is_binary", [True, False])
def test_every_datatype_comes_back_as_it_went(client: InferenceServerClient, is_binary: bool) -> None:
    """Half precision has no JSON, so it travels as bytes both times."""
    wanted = [
        InferRequestedOutput(f"{datatype.lower()}_back", binary_data=is_binary or datatype == "FP16")
        for datatype in DATATYPES
    ]

    result = client.infer("mirror", mirror_inputs(is_binary), outputs=wanted)

    for datatype in DATATYPES:
        back, sent = result.as_numpy(f"{datatype.lower()}_back"), example(datatype)
        if datatype == "BYTES":
            back = np.vectorize(lambda each: each.decode() if isinstance(each, bytes) else each, otypes=[object])(back)
        assert np.array_equal(back, sent), datatype
        assert datatype == "BYTES" or back.dtype == sent.dtype


def example(datatype: str) -> Any:
    if datatype == "BYTES":
        return np.array([["a", "światło"], ["", "🙂"]], np.object_)
    if datatype == "BOOL":
        return np.array([[True, False], [False, True]])
    if datatype.startswith("FP"):
        return np.array([[0.5, -1.25], [0.0, 6.1e4]], NUMPY[datatype])
    about = np.iinfo(NUMPY[datatype])
    return np.array([[about.min, about.max], [0, 1]], NUMPY[datatype])


def mirror_inputs(is_binary: bool) -> list[InferInput]:
    return [
        InferInput(datatype.lower(), [2, 2], datatype).set_data_from_numpy(
            example(datatype), binary_data=is_binary or datatype == "FP16"
        )
        for datatype in DATATYPES
    ]


def test_half_precision_is_refused_in_json(client: InferenceServerClient) -> None:
    wanted = [InferRequestedOutput("fp16_back", binary_data=False)]

    with pytest.raises(InferenceServerException, match="'fp16_back' is FP16, which JSON cannot carry") as refusal:
        client.infer("mirror", mirror_inputs(is_binary=True), outputs=wanted)
    assert refusal.value.status() == "400"


def test_a_graph_of_several_inputs_is_computed(client: InferenceServerClient) -> None:
    left, matrix = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    inputs = [numbers("left", left), numbers("right", left * 10, is_binary=False), numbers("matrix", matrix)]

    result = client.infer("sums", inputs)

    assert np.array_equal(result.as_numpy("sums"), left * 11)
    assert np.array_equal(result.as_numpy("total"), (left * 11).sum(1))
    assert np.array_equal(result.as_numpy("times"), left @ matrix)


def test_requests_may_be_sent_side_by_side(client: InferenceServerClient) -> None:
    pending = [client.async_infer("triage", [text_input(word)]) for word in ("refund", "password", "hello")]

    assert [labels_of(each.get_result())[0] for each in pending] == ["billing", "account", "other"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_requests_and_replies_may_be_compressed(client: InferenceServerClient, algorithm: str) -> None:
    wide = np.zeros((3, 1000))
    inputs = [numbers("left", np.ones((4, 3))), numbers("right", np.ones((4, 3))), numbers("matrix", wide)]
    compression = {f"{way}_compression_algorithm": algorithm for way in ("request", "response")}

    result = client.infer("sums", inputs, **compression)

    assert np.array_equal(result.as_numpy("times"), np.zeros((4, 1000)))


def test_answers_are_counted(client: InferenceServerClient) -> None:
    client.infer("triage", [text_input("refund", "hello")])
    client.infer("triage", [text_input("refund")])
    client.infer("triage", [text_input("refund")], model_version="candidate")

    (first, second) = client.get_inference_statistics("triage")["model_stats"]
    (candidate,) = client.get_inference_statistics("triage", "candidate")["model_stats"]
    everything = client.get_inference_statistics()["model_stats"]

    assert (first["version"], first["inference_count"], first["execution_count"]) == ("1", 3, 2)
    assert first["inference_stats"]["success"]["count"] == 2
    assert first["inference_stats"]["compute_infer"]["ns"] > 0
    assert candidate == second
    assert (candidate["version"], candidate["inference_count"]) == ("2", 1)
    assert [(each["name"], each["version"]) for each in everything] == [
        ("mirror", "1"),
        ("sums", "1"),
        ("triage", "1"),
        ("triage", "2"),
    ]


def test_the_repository_lists_every_version(client: InferenceServerClient) -> None:
    found = client.get_model_repository_index()

    assert [(each["name"], each["version"], each["state"], each["reason"]) for each in found] == [
        ("mirror", "1", "READY", ""),
        ("sums", "1", "READY", ""),
        ("triage", "1", "READY", ""),
        ("triage", "2", "READY", ""),
    ]


def test_models_are_neither_loaded_nor_unloaded_by_request(client: InferenceServerClient) -> None:
    for ask in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="models come in immutable layers") as refusal:
            ask("triage")
        assert refusal.value.status() == "501"


ERRORS: dict[str, tuple[Callable[[InferenceServerClient], Any], str, str]] = {
    "an unknown model": (lambda c: c.infer("nobody", [text_input("a")]), "404", "no model 'nobody' here: there are"),
    "an unknown version": (
        lambda c: c.infer("triage", [text_input("a")], model_version="7"),
        "404",
        r"no version '7' of 'triage' here: there are \['1', '2'\]",
    ),
    "no candidate": (
        lambda c: c.get_model_metadata("sums", "candidate"),
        "404",
        r"no candidate of 'sums' here: there are \['1'\]",
    ),
    "an unknown output": (
        lambda c: c.infer("triage", [text_input("a")], outputs=[InferRequestedOutput("score")]),
        "400",
        "no output 'score': this model has",
    ),
    "another datatype": (
        lambda c: c.infer("sums", [numbers(name, np.ones((1, 3)), "FP64") for name in ("left", "right", "matrix")]),
        "400",
        "want the input 'left' with datatype FP32",
    ),
    "another shape": (
        lambda c: c.infer("sums", [numbers(name, np.ones((1, 4))) for name in ("left", "right", "matrix")]),
        "400",
        r"shape \[1, 4\] of 'left': want \[-1, 3\], where -1 is any size",
    ),
    "an input too few": (
        lambda c: c.infer("sums", [numbers("left", np.ones((1, 3)))]),
        "400",
        "takes exactly the inputs",
    ),
    "too many rows": (lambda c: c.infer("triage", [text_input(*"abcde")]), "400", "5 rows: want 1 to 4"),
    "classes of texts": (
        lambda c: c.infer("triage", [text_input("a")], outputs=[InferRequestedOutput("label", class_count=1)]),
        "400",
        "classification of 'label'",
    ),
    "a reply beyond what Lambda sends": (
        lambda c: c.infer(
            "sums",
            [
                numbers("left", np.ones((4, 3))),
                numbers("right", np.ones((4, 3))),
                numbers("matrix", np.ones((3, 300_000))),
            ],
        ),
        "413",
        "the reply is too large: want one below the 6 MB",
    ),
}


def test_an_error_is_the_clients_exception_with_our_message(client: InferenceServerClient) -> None:
    for name, (ask, status, message) in ERRORS.items():
        with pytest.raises(InferenceServerException, match=message) as refusal:
            ask(client)
        assert refusal.value.status() == status, name
