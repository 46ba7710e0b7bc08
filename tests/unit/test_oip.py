"""The protocol's requests and replies: JSON, the binary extension, raw bodies, classification."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.oip import InferRequest, Wanted, parse_header_length, parse_infer, render_infer
from pawl.bundle import Manifest, Tensor
from pawl.errors import InvalidRequest, UnsupportedRequest
from pawl.model import Answer

ROW_LIMIT = 4
EVERY_OUTPUT = [Wanted("label"), Wanted("probabilities")]
any_text = st.text(st.characters(exclude_categories=()), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(any_text, children, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(["id", "parameters", "inputs", "outputs", "extra"])
input_fields = st.sampled_from(["name", "shape", "datatype", "parameters", "data", "extra"])
output_fields = st.sampled_from(["name", "parameters", "extra"])
output_parameters = st.sampled_from(["binary_data", "classification", "shared_memory_region"])


@pytest.fixture(scope="session")
def sums(about: dict[str, Any]) -> Manifest:
    """A model of two inputs, of a batch and of one number, and two outputs, one of them in half precision."""
    tensors = {
        "inputs": [Tensor("rows", "FP32", [-1, 2]), Tensor("scale", "INT64", [1])],
        "outputs": [Tensor("sum", "FP64", [-1]), Tensor("half", "FP16", [-1, 2])],
    }
    return Manifest(files={}, **{**about, "kind": "tensors", "labels": [], **tensors})


@pytest.fixture(scope="session")
def scores(about: dict[str, Any]) -> Manifest:
    """A model of one input of numbers, a row or many."""
    tensors = {"inputs": [Tensor("rows", "FP32", [-1, 2])], "outputs": [Tensor("scores", "FP32", [-1, 3])]}
    return Manifest(files={}, **{**about, "kind": "tensors", "labels": ["a", "b"], **tensors})


def _tensor(*texts: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **changes}


def _body(*texts: Any, **changes: Any) -> str:
    return json.dumps({"inputs": [_tensor(*texts)], **changes})


def _bytes(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def _binary(*inputs: tuple[dict[str, Any], bytes | None], **changes: Any) -> tuple[bytes, int]:
    """A body of the binary extension and where its JSON ends; a tensor without bytes brings its data in JSON."""
    tensors = [
        tensor if raw is None else {**tensor, "parameters": {"binary_data_size": len(raw)}} for tensor, raw in inputs
    ]
    head = json.dumps({"inputs": tensors, **changes}).encode()
    return head + b"".join(raw for _, raw in inputs if raw is not None), len(head)


def _text(count: int) -> dict[str, Any]:
    return {"name": "text", "shape": [count], "datatype": "BYTES"}


def _accept_or_refuse(body: str | bytes, manifest: Manifest, header_length: int | None = None) -> None:
    """Whatever comes in: a request within the limits, or InvalidRequest and nothing else."""
    try:
        request = parse_infer(body, header_length, manifest, ROW_LIMIT)
    except InvalidRequest as error:
        assert error.status in (400, 501)
        assert len(str(error)) < 1000
        return
    texts = request.inputs["text"]
    assert 1 <= len(texts) == request.rows <= ROW_LIMIT
    assert all(isinstance(text, str) and text.encode() is not None for text in texts)
    assert request.id is None or isinstance(request.id, str)
    assert {wanted.name for wanted in request.outputs} <= {"label", "probabilities"}


def test_a_request_is_its_texts_in_order(manifest: Manifest) -> None:
    request = parse_infer(_body("no light", "", "światło"), None, manifest, ROW_LIMIT)

    assert request == InferRequest(None, {"text": ["no light", "", "światło"]}, 3, {}, EVERY_OUTPUT)


@pytest.mark.parametrize("body", [_body("światło"), _body("światło").encode()])
def test_a_body_may_be_text_or_bytes(manifest: Manifest, body: str | bytes) -> None:
    assert parse_infer(body, None, manifest, ROW_LIMIT).inputs == {"text": ["światło"]}


def test_data_may_be_nested_a_row_at_a_time(manifest: Manifest) -> None:
    body = json.dumps({"inputs": [_tensor(["a"], ["b"], shape=[2, 1])]})

    assert parse_infer(body, None, manifest, ROW_LIMIT).inputs == {"text": ["a", "b"]}


def test_an_id_parameters_and_outputs_may_be_given(manifest: Manifest) -> None:
    tensor = _tensor("a", parameters={"content_type": "str"})
    parameters = {"a": 1, "b": True, "c": "d", "e": 0.5}
    body = {"id": "7", "parameters": parameters, "inputs": [tensor], "outputs": [{"name": "label"}]}

    request = parse_infer(json.dumps(body), None, manifest, ROW_LIMIT)

    assert request == InferRequest("7", {"text": ["a"]}, 1, parameters, [Wanted("label")])


def test_who_asks_is_a_parameter_that_no_model_sees(manifest: Manifest) -> None:
    def parse(user: Any) -> InferRequest:
        body = {"parameters": {"user": user, "b": True}, "inputs": [_tensor("a")]}
        return parse_infer(json.dumps(body), None, manifest, ROW_LIMIT)

    assert (parse("ada").user, parse("ada").parameters) == ("ada", {"b": True})
    with pytest.raises(InvalidRequest, match="user must be a string"):
        parse(7)


def test_no_outputs_named_are_all_of_them(manifest: Manifest) -> None:
    assert parse_infer(_body("a", outputs=[]), None, manifest, ROW_LIMIT).outputs == EVERY_OUTPUT


def test_as_many_rows_as_the_limit_are_taken_and_one_more_is_not(manifest: Manifest) -> None:
    assert parse_infer(_body(*"abcd"), None, manifest, ROW_LIMIT).rows == 4
    with pytest.raises(InvalidRequest, match="5 rows: want 1 to 4"):
        parse_infer(_body(*"abcde"), None, manifest, ROW_LIMIT)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "the body is empty"),
        (b"", "the body is empty"),
        (" ", "the body is not JSON"),
        ("{", "the body is not JSON"),
        (b"\xff\xfe\xfa", "the body is not UTF-8"),
        (_body("a").encode("utf-16"), "the body is not UTF-8"),
        ('{"inputs": NaN}', "NaN is not a JSON number"),
        ('{"inputs": -Infinity}', "-Infinity is not a JSON number"),
        ("[" * 100_000, "the body is not JSON"),
        ('{"inputs":' * 100_000, "the body is not JSON"),
        ("[]", "the body must be an object"),
        (_body("a", extra=1), r"the request has unknown fields \['extra'\]"),
        (_body("a", **{"x" * 500: 1}), r"unknown fields \['x{76}\.\.\.\]"),
        (_body("a", id=7), "id must be a string"),
        (_body("a", parameters=[]), "parameters must be an object"),
        (_body("a", parameters={"a": {}}), "parameters must be an object"),
        (_body("a", parameters={"a": None}), "parameters must be an object"),
        (_body("a", parameters={"a": 1}).replace('"a": 1', '"a": 1e400'), "parameters must be an object"),
        (json.dumps({}), r"inputs must be a list of tensors: \['text'\]"),
        (json.dumps({"inputs": ["a"]}), r"inputs must be a list of tensors: \['text'\]"),
        (json.dumps({"inputs": []}), r"this model takes exactly the inputs \['text'\]"),
        (json.dumps({"inputs": [_tensor("a"), _tensor("b")]}), r"takes exactly the inputs \['text'\]"),
        (json.dumps({"inputs": [_tensor("a", name="texts")]}), r"takes exactly the inputs \['text'\]"),
        (json.dumps({"inputs": [_tensor("a", name=["text"])]}), r"takes exactly the inputs \['text'\]"),
        (json.dumps({"inputs": [_tensor("a", extra=1)]}), r"input 'text' has unknown fields \['extra'\]"),
        (json.dumps({"inputs": [_tensor("a", datatype="FP16")]}), "want the input 'text' with datatype BYTES"),
        (json.dumps({"inputs": [_tensor("a", parameters={"a": []})]}), "the parameters of 'text' must be an object"),
        (json.dumps({"inputs": [_tensor(data="a")]}), "holds no elements"),
        (json.dumps({"inputs": [_tensor("a", data="a")]}), "data of 'text' must be a list"),
        (json.dumps({"inputs": [_tensor(["a"], "b", shape=[2, 1])]}), "not nested as its shape"),
        (json.dumps({"inputs": [_tensor(["a", "b"])]}), "not nested as its shape"),
        (json.dumps({"inputs": [_tensor([["a"]], shape=[1, 1])]}), "not nested as its shape"),
        (json.dumps({"inputs": [_tensor("a", shape=None)]}), "must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[True])]}), "must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[1.0])]}), "must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[-1])]}), "must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[1 << 31])]}), "must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[])]}), r"want \[-1\], where -1 is any size"),
        (json.dumps({"inputs": [_tensor("a", shape=[1] * 500)]}), r"1, 1\.\.\. of 'text': want \[-1\]"),
        (json.dumps({"inputs": [_tensor("a", "b", shape=[1, 2])]}), r"want \[-1\], where -1 is any size"),
        (json.dumps({"inputs": [_tensor("a", shape=[2])]}), r"shape \[2\] of 'text' holds 2 elements, data has 1"),
        (_body(), r"shape \[0\] of 'text' holds no elements"),
        (_body("a", 7), r"data\[1\] of 'text' must be a string"),
        (_body("a", "\ud800"), r"data\[1\] of 'text' holds half a surrogate pair"),
        (_body("a", outputs="label"), 'outputs must be a list of {"name": ...}'),
        (_body("a", outputs=[{}]), 'outputs must be a list of {"name": ...}'),
        (_body("a", outputs=[{"name": 7}]), 'outputs must be a list of {"name": ...}'),
        (_body("a", outputs=[{"name": "label"}] * 2), "outputs must name each output once"),
        (_body("a", outputs=[{"name": "label", "data": []}]), r"an output has unknown fields \['data'\]"),
        (_body("a", outputs=[{"name": "logits"}]), r"no output 'logits': this model has \['label', 'probabilities'\]"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_what_would_be_right(
    manifest: Manifest, body: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_infer(body, None, manifest, ROW_LIMIT)


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [_tensor("a", parameters={"shared_memory_region": "r"})]},
        {"outputs": [{"name": "label", "parameters": {"shared_memory_region": "r"}}]},
    ],
)
def test_shared_memory_is_part_of_the_protocol_and_not_offered(manifest: Manifest, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequest, match="shared memory is not offered here"):
        parse_infer(_body("a", **changes), None, manifest, ROW_LIMIT)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"classification": "2"}, "classification of 'probabilities' must be a whole number"),
        ({"classification": True}, "classification of 'probabilities' must be a whole number"),
        ({"classification": -1}, "classification of 'probabilities' must be a whole number"),
        ({"binary_data": 1}, "binary_data of 'probabilities' must be true or false"),
    ],
)
def test_parameters_of_an_output_have_their_types(manifest: Manifest, parameters: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        body = _body("a", outputs=[{"name": "probabilities", "parameters": parameters}])
        parse_infer(body, None, manifest, ROW_LIMIT)


def test_only_scores_can_be_classified(manifest: Manifest) -> None:
    with pytest.raises(InvalidRequest, match=r"classification of 'label' .* the output FP32 or FP64"):
        body = _body("a", outputs=[{"name": "label", "parameters": {"classification": 1}}])
        parse_infer(body, None, manifest, ROW_LIMIT)


@given(json_values)
def test_arbitrary_json_is_refused_and_never_fails_otherwise(manifest: Manifest, value: Any) -> None:
    _accept_or_refuse(json.dumps(value), manifest)


@given(fields, json_values)
def test_a_request_with_one_arbitrary_field_is_taken_or_refused(manifest: Manifest, field: str, value: Any) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor("a", "b")], field: value}), manifest)


@given(input_fields, json_values)
def test_an_input_with_one_arbitrary_field_is_taken_or_refused(manifest: Manifest, field: str, value: Any) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor("a", "b", **{field: value})]}), manifest)


@given(output_fields, output_parameters, json_values)
def test_an_output_with_one_arbitrary_field_is_taken_or_refused(
    manifest: Manifest, field: str, parameter: str, value: Any
) -> None:
    output = {"name": "probabilities", "parameters": {parameter: value}}
    _accept_or_refuse(_body("a", outputs=[output]), manifest)
    _accept_or_refuse(_body("a", outputs=[{**output, field: value}]), manifest)


@given(st.lists(any_text, max_size=6), st.lists(st.integers(-1, 6), max_size=3))
def test_any_texts_in_any_shape_are_taken_or_refused(manifest: Manifest, texts: list[str], shape: list[int]) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor(*texts, shape=shape)]}), manifest)


@given(st.binary() | any_text, st.none() | st.integers(0, 20))
def test_arbitrary_bytes_are_refused_and_never_fail_otherwise(
    manifest: Manifest, body: str | bytes, header_length: int | None
) -> None:
    _accept_or_refuse(body, manifest, header_length)


@given(st.data())
def test_a_binary_body_with_a_few_wrong_bytes_is_taken_or_refused(manifest: Manifest, data: st.DataObject) -> None:
    body, length = _binary((_text(2), _bytes("no light", "światło")))
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _accept_or_refuse(bytes(changed), manifest, length + data.draw(st.sampled_from([-1, 0, 0, 0, 1])))


@pytest.mark.parametrize("digits", [9, 4000, 5000])
def test_a_number_too_long_to_print_is_refused_all_the_same(manifest: Manifest, scores: Manifest, digits: int) -> None:
    for shape in (f"[{'9' * digits}]", f"[{'9' * digits}, 1]", f"[{'9' * digits}, {'9' * digits}]"):
        _accept_or_refuse(_body("a").replace("[1]", shape), manifest)
        body = json.dumps({"inputs": [{"name": "rows", "datatype": "FP32", "shape": [1], "data": [1]}]})
        _accept_or_refuse(body.replace("[1]", shape, 1), scores)


def test_texts_may_follow_the_json_as_bytes(manifest: Manifest) -> None:
    body, length = _binary((_text(2), _bytes("no light", "światło")), id="7")

    request = parse_infer(body, length, manifest, ROW_LIMIT)

    assert request == InferRequest("7", {"text": ["no light", "światło"]}, 2, {}, EVERY_OUTPUT)


def test_tensors_follow_in_the_order_of_the_request_and_reach_the_model_in_its_own(sums: Manifest) -> None:
    rows = np.array([[1, 2], [3, 4]], "<f4")
    scale = {"name": "scale", "shape": [1], "datatype": "INT64"}
    matrix = {"name": "rows", "shape": [2, 2], "datatype": "FP32"}
    body, length = _binary((scale, struct.pack("<q", -7)), (matrix, rows.tobytes()), outputs=[{"name": "sum"}])

    inputs = parse_infer(body, length, sums, ROW_LIMIT).inputs

    assert list(inputs) == ["rows", "scale"]
    assert (np.asarray(inputs["rows"]).tolist(), np.asarray(inputs["scale"]).tolist()) == ([[1, 2], [3, 4]], [-7])


def test_a_tensor_in_json_may_stand_beside_one_in_bytes(sums: Manifest) -> None:
    scale = {"name": "scale", "shape": [1], "datatype": "INT64", "data": [3]}
    matrix = {"name": "rows", "shape": [1, 2], "datatype": "FP32"}
    body, length = _binary((scale, None), (matrix, struct.pack("<2f", 0.5, -1)), outputs=[{"name": "sum"}])

    inputs = parse_infer(body, length, sums, ROW_LIMIT).inputs

    assert (np.asarray(inputs["rows"]).tolist(), np.asarray(inputs["scale"]).tolist()) == ([[0.5, -1]], [3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body, length: (body + b"\0", length), "binary_data_size sum to 12, the body has 13 binary bytes"),
        (lambda body, length: (body[:-1], length), "'text' ends within element 0 of 1"),
        (lambda body, length: (body, len(body) + 1), "must be from 0 to the body's"),
        (lambda body, length: (body, length - 1), "the body is not JSON"),
        (lambda body, length: (body, None), "the body is not JSON|not UTF-8"),
        (lambda body, length: (body[:-8] + b"\xff" * 8, length), "element 0 of 'text' is not UTF-8"),
    ],
)
def test_sizes_that_do_not_sum_are_refused_with_the_sizes(
    manifest: Manifest, change: Callable[[bytes, int], tuple[bytes, int | None]], message: str
) -> None:
    body, length = change(*_binary((_text(1), _bytes("no light"))))

    with pytest.raises(InvalidRequest, match=message):
        parse_infer(body, length, manifest, ROW_LIMIT)


@pytest.mark.parametrize("size", ["-1", "true", "1.0", '"12"'])
def test_a_binary_size_is_a_whole_number(manifest: Manifest, size: str) -> None:
    body = json.dumps({"inputs": [{**_text(1), "parameters": {"binary_data_size": 0}}]}).replace("0}", f"{size}}}")

    with pytest.raises(InvalidRequest, match="binary_data_size of 'text' must be a whole number"):
        parse_infer(body.encode(), len(body), manifest, ROW_LIMIT)


def test_data_and_bytes_of_one_tensor_contradict_each_other(manifest: Manifest) -> None:
    body, length = _binary((_tensor("no light"), _bytes("no light")))

    with pytest.raises(InvalidRequest, match="both data and binary_data_size"):
        parse_infer(body, length, manifest, ROW_LIMIT)


def test_a_body_that_is_no_unicode_has_no_bytes(manifest: Manifest) -> None:
    with pytest.raises(InvalidRequest, match="the body is not UTF-8"):
        parse_infer("\ud800", 1, manifest, ROW_LIMIT)


@pytest.mark.parametrize(
    ("parameters", "outputs", "wanted"),
    [
        ({"binary_data_output": True}, None, [Wanted("label", True), Wanted("probabilities", True)]),
        ({"binary_data_output": False}, None, EVERY_OUTPUT),
        ({"binary_data_output": True}, [{"name": "label", "parameters": {"binary_data": False}}], [Wanted("label")]),
        (
            {},
            [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}],
            [Wanted("label", True), Wanted("probabilities")],
        ),
        ({}, [{"name": "probabilities", "parameters": {"classification": 2}}], [Wanted("probabilities", False, 2)]),
    ],
)
def test_outputs_may_be_wanted_as_bytes_each_or_all(
    manifest: Manifest, parameters: dict[str, Any], outputs: Any, wanted: list[Wanted]
) -> None:
    request = parse_infer(_body("a", parameters=parameters, outputs=outputs), None, manifest, ROW_LIMIT)

    assert request.outputs == wanted
    assert request.parameters == {}


def test_half_precision_is_refused_in_json_before_the_model_runs(sums: Manifest) -> None:
    inputs = [
        {"name": "rows", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
        {"name": "scale", "shape": [1], "datatype": "INT64", "data": [1]},
    ]
    for outputs in (None, [{"name": "half"}]):
        with pytest.raises(InvalidRequest, match="'half' is FP16, which JSON cannot carry: ask for it as binary data"):
            parse_infer(json.dumps({"inputs": inputs, "outputs": outputs}), None, sums, ROW_LIMIT)


def test_inputs_must_agree_on_their_rows(about: dict[str, Any]) -> None:
    tensors = [Tensor("a", "INT8", [-1]), Tensor("b", "INT8", [-1])]
    pair = Manifest(files={}, **{**about, "inputs": tensors})
    inputs = [{"name": name, "shape": [n], "datatype": "INT8", "data": [1] * n} for name, n in (("a", 1), ("b", 2))]

    with pytest.raises(InvalidRequest, match=r"different numbers of rows: \[1, 2\]"):
        parse_infer(json.dumps({"inputs": inputs}), None, pair, ROW_LIMIT)


def test_a_raw_body_is_one_text_and_asks_for_bytes(manifest: Manifest) -> None:
    request = parse_infer("no światło".encode(), 0, manifest, ROW_LIMIT)

    wanted = [Wanted("label", True), Wanted("probabilities", True)]
    assert request == InferRequest(None, {"text": ["no światło"]}, 1, {}, wanted)


def test_a_raw_body_of_numbers_tells_its_rows_by_its_size(scores: Manifest) -> None:
    request = parse_infer(struct.pack("<6f", *range(6)), 0, scores, ROW_LIMIT)

    assert (np.asarray(request.inputs["rows"]).tolist(), request.rows) == ([[0, 1], [2, 3], [4, 5]], 3)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (bytes(9), "'rows' has 9 bytes: FP32 of shape \\[1, 2\\] takes 8"),
        (bytes(7), "holds no elements"),
        (b"", "the body is empty: want the tensor's bytes"),
        (bytes(8 * 5), "5 rows: want 1 to 4"),
    ],
)
def test_a_raw_body_of_another_size_is_refused(scores: Manifest, raw: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_infer(raw, 0, scores, ROW_LIMIT)


def test_a_model_whose_shape_a_size_does_not_tell_takes_no_raw_body(sums: Manifest, about: dict[str, Any]) -> None:
    open_ended = Manifest(files={}, **{**about, "inputs": [Tensor("rows", "FP32", [-1, -1])]})
    for manifest in (sums, open_ended):
        with pytest.raises(InvalidRequest, match="triage takes no raw body"):
            parse_infer(bytes(8), 0, manifest, ROW_LIMIT)


def test_a_raw_scalar_is_one_row(about: dict[str, Any]) -> None:
    scalar = Manifest(files={}, **{**about, "inputs": [Tensor("x", "FP64", [])]})

    request = parse_infer(struct.pack("<d", 2.5), 0, scalar, ROW_LIMIT)

    assert (np.asarray(request.inputs["x"]).shape, request.rows) == ((), 1)


@pytest.mark.parametrize(("text", "length"), [(None, None), ("0", 0), ("120", 120)])
def test_the_header_says_where_the_json_ends(text: str | None, length: int | None) -> None:
    assert parse_header_length(text) == length


@pytest.mark.parametrize("text", ["", "-1", "1.5", "a", "1 ", "٣", "9" * 10, "9" * 5000])
def test_a_header_that_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length must be a whole number of bytes"):
        parse_header_length(text)


OUTPUTS = {"label": ["outage", "billing"], "probabilities": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)}


def _rendered(manifest: Manifest, *wanted: Wanted, identifier: str | None = "7") -> tuple[Any, bytes]:
    request = InferRequest(identifier, {"text": ["a", "b"]}, 2, {}, wanted)
    text, binary = render_infer(manifest, request, "k1.receipt", Answer(OUTPUTS, dict))
    return json.loads(text), binary


def test_a_reply_says_what_the_model_says_of_its_answer_as_a_whole(manifest: Manifest) -> None:
    answer = Answer(OUTPUTS, dict, {"cut_by": "deadline"})
    request = InferRequest("7", {"text": ["a", "b"]}, 2, {}, [Wanted("label")])

    reply = json.loads(render_infer(manifest, request, "k1.receipt", answer)[0])

    assert reply["parameters"] == {"inference_id": "k1.receipt", "cut_by": "deadline"}


def test_a_reply_holds_every_output_row_major_with_its_shape(manifest: Manifest) -> None:
    reply, binary = _rendered(manifest, *EVERY_OUTPUT)

    assert binary == b""
    assert reply == {
        "model_name": "triage",
        "model_version": "3",
        "id": "7",
        "parameters": {"inference_id": "k1.receipt"},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["outage", "billing"]},
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": [0.25, 0.75, 1.0, 0.0]},
        ],
    }


@pytest.mark.parametrize("identifier", [None, ""])
def test_a_request_without_an_id_gets_the_receipt_as_id(manifest: Manifest, identifier: str | None) -> None:
    assert _rendered(manifest, Wanted("label"), identifier=identifier)[0]["id"] == "k1.receipt"


def test_an_id_of_any_characters_comes_back(manifest: Manifest) -> None:
    identifier = 'a "quoted" \\ światło \ud800 \x00'
    assert _rendered(manifest, Wanted("label"), identifier=identifier)[0]["id"] == identifier


@pytest.mark.parametrize("wanted", [["probabilities"], ["label"], ["probabilities", "label"]])
def test_a_reply_holds_only_the_outputs_that_were_asked_for_in_that_order(
    manifest: Manifest, wanted: list[str]
) -> None:
    reply, _ = _rendered(manifest, *map(Wanted, wanted))

    assert [tensor["name"] for tensor in reply["outputs"]] == wanted


def test_bytes_follow_the_json_in_the_order_of_the_outputs(manifest: Manifest) -> None:
    reply, binary = _rendered(manifest, Wanted("probabilities", True), Wanted("label", True))

    assert reply["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}},
        {"name": "label", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 21}},
    ]
    assert binary == struct.pack("<4f", 0.25, 0.75, 1, 0) + _bytes("outage", "billing")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_classification_gives_the_best_classes_with_their_labels_best_first(manifest: Manifest, count: int) -> None:
    reply, _ = _rendered(manifest, Wanted("probabilities", classes=count))

    rows = [["0.750000:1:outage", "0.250000:0:billing"], ["1.000000:0:billing", "0.000000:1:outage"]]
    flat = [text for row in rows for text in row[:count]]
    shape = [2, min(count, 2)]
    assert reply["outputs"] == [{"name": "probabilities", "datatype": "BYTES", "shape": shape, "data": flat}]


def test_classification_may_come_as_bytes(manifest: Manifest) -> None:
    _, binary = _rendered(manifest, Wanted("probabilities", True, 1))

    assert binary == _bytes("0.750000:1:outage", "1.000000:0:billing")


@pytest.mark.parametrize(
    ("shape", "scores", "given_shape", "best"),
    [
        ([-1], [0.5, 0.25], [2, 1], ["0.500000:0:billing", "0.250000:0:billing"]),
        ([3], [0.5, 0.25, 2], [1], ["2.000000:2"]),
        ([-1, 2, 2], [[[1, 2], [4, 3]]], [1, 1], ["4.000000:2"]),
    ],
)
def test_classification_is_over_all_the_values_of_a_row(
    manifest: Manifest, shape: list[int], scores: Any, given_shape: list[int], best: list[str]
) -> None:
    other = replace(manifest, outputs=[Tensor("scores", "FP64", shape)])
    request = InferRequest("7", {}, 1, {}, [Wanted("scores", classes=1)])

    reply = json.loads(render_infer(other, request, "k1.receipt", Answer({"scores": np.array(scores)}, dict))[0])

    assert (reply["outputs"][0]["shape"], reply["outputs"][0]["data"]) == (given_shape, best)
