import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.oip import InferRequest, parse_infer, render_infer
from pawl.bundle import Manifest
from pawl.errors import InvalidRequest

ROW_LIMIT = 4
any_text = st.text(st.characters(exclude_categories=()), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(any_text, children, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(["id", "parameters", "inputs", "outputs", "extra"])
input_fields = st.sampled_from(["name", "shape", "datatype", "parameters", "data", "extra"])


def _tensor(*texts: Any, **changes: Any) -> dict[str, Any]:
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **changes}


def _body(*texts: Any, **changes: Any) -> str:
    return json.dumps({"inputs": [_tensor(*texts)], **changes})


def _accept_or_refuse(body: str | bytes, manifest: Manifest) -> None:
    """Whatever comes in: a request within the limits, or InvalidRequest and nothing else."""
    try:
        request = parse_infer(body, manifest, ROW_LIMIT)
    except InvalidRequest as error:
        assert error.status == 400
        return
    assert 1 <= len(request.texts) <= ROW_LIMIT
    assert all(isinstance(text, str) and text.encode() is not None for text in request.texts)
    assert request.id is None or isinstance(request.id, str)
    assert set(request.outputs or []) <= {"label", "probabilities"}


def test_a_request_is_its_texts_in_order(manifest: Manifest) -> None:
    request = parse_infer(_body("no light", "", "światło"), manifest, ROW_LIMIT)

    assert request == InferRequest(None, ["no light", "", "światło"], None)


@pytest.mark.parametrize("body", [_body("światło"), _body("światło").encode(), _body("światło").encode("utf-16")])
def test_a_body_may_be_text_or_bytes(manifest: Manifest, body: str | bytes) -> None:
    assert parse_infer(body, manifest, ROW_LIMIT).texts == ["światło"]


def test_data_may_be_nested_a_row_at_a_time(manifest: Manifest) -> None:
    body = json.dumps({"inputs": [_tensor(["a"], ["b"], shape=[2, 1])]})

    assert parse_infer(body, manifest, ROW_LIMIT).texts == ["a", "b"]


def test_an_id_parameters_and_outputs_may_be_given(manifest: Manifest) -> None:
    tensor = _tensor("a", parameters={"content_type": "str"})
    body = {"id": "7", "parameters": {"a": 1, "b": True, "c": "d"}, "inputs": [tensor], "outputs": [{"name": "label"}]}

    assert parse_infer(json.dumps(body), manifest, ROW_LIMIT) == InferRequest("7", ["a"], ["label"])


def test_as_many_rows_as_the_limit_are_taken_and_one_more_is_not(manifest: Manifest) -> None:
    assert len(parse_infer(_body(*"abcd"), manifest, ROW_LIMIT).texts) == 4
    with pytest.raises(InvalidRequest, match="5 rows: want 1 to 4"):
        parse_infer(_body(*"abcde"), manifest, ROW_LIMIT)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "the body is not JSON"),
        ("{", "the body is not JSON"),
        (b"\xff\xfe\xfa", "the body is not JSON"),
        ('{"inputs": NaN}', "NaN is not a JSON number"),
        ('{"inputs": -Infinity}', "-Infinity is not a JSON number"),
        ("[" * 100_000, "the body is not JSON"),
        ("[]", "the body must be an object"),
        (_body("a", extra=1), r"the request has unknown fields \['extra'\]"),
        (_body("a", id=7), "id must be a string"),
        (_body("a", parameters=[]), "parameters must be an object"),
        (_body("a", parameters={"a": {}}), "parameters must be an object"),
        (json.dumps({}), "inputs must be a list of one tensor, 'text'"),
        (json.dumps({"inputs": []}), "inputs must be a list of one tensor"),
        (json.dumps({"inputs": [_tensor("a"), _tensor("b")]}), "inputs must be a list of one tensor"),
        (json.dumps({"inputs": ["a"]}), "inputs must be a list of one tensor"),
        (json.dumps({"inputs": [_tensor("a", extra=1)]}), r"input 'text' has unknown fields \['extra'\]"),
        (json.dumps({"inputs": [_tensor("a", name="texts")]}), "want the input 'text' with datatype BYTES"),
        (json.dumps({"inputs": [_tensor("a", datatype="FP16")]}), "want the input 'text' with datatype BYTES"),
        (json.dumps({"inputs": [_tensor("a", parameters={"a": []})]}), "input parameters must be an object"),
        (json.dumps({"inputs": [_tensor(data="a")]}), "data must be a list"),
        (json.dumps({"inputs": [_tensor(["a"], "b")]}), "nested data must hold one element a row"),
        (json.dumps({"inputs": [_tensor(["a", "b"])]}), "nested data must hold one element a row"),
        (json.dumps({"inputs": [_tensor([["a"]])]}), r"data\[0\] of 'text' must be a string"),
        (json.dumps({"inputs": [_tensor("a", shape=None)]}), "shape must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[True])]}), "shape must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[-1])]}), "shape must be a list of whole numbers"),
        (json.dumps({"inputs": [_tensor("a", shape=[])]}), r"want \[rows\] or \[rows, 1\]"),
        (json.dumps({"inputs": [_tensor("a", "b", shape=[1, 2])]}), r"want \[rows\] or \[rows, 1\]"),
        (json.dumps({"inputs": [_tensor("a", shape=[2])]}), r"shape \[2\] holds 2 elements, data has 1"),
        (_body(), "0 rows: want 1 to 4"),
        (_body("a", 7), r"data\[1\] of 'text' must be a string"),
        (_body("a", "\ud800"), r"data\[1\] of 'text' holds half a surrogate pair"),
        (_body("a", outputs="label"), 'outputs must be a list of {"name": ...}'),
        (_body("a", outputs=[{}]), 'outputs must be a list of {"name": ...}'),
        (_body("a", outputs=[{"name": "logits"}]), r"no output 'logits': this model has \['label', 'probabilities'\]"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_what_would_be_right(
    manifest: Manifest, body: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_infer(body, manifest, ROW_LIMIT)


@given(json_values)
def test_arbitrary_json_is_refused_and_never_fails_otherwise(manifest: Manifest, value: Any) -> None:
    _accept_or_refuse(json.dumps(value), manifest)


@given(fields, json_values)
def test_a_request_with_one_arbitrary_field_is_taken_or_refused(manifest: Manifest, field: str, value: Any) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor("a", "b")], field: value}), manifest)


@given(input_fields, json_values)
def test_an_input_with_one_arbitrary_field_is_taken_or_refused(manifest: Manifest, field: str, value: Any) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor("a", "b", **{field: value})]}), manifest)


@given(st.lists(any_text, max_size=6), st.lists(st.integers(-1, 6), max_size=3))
def test_any_texts_in_any_shape_are_taken_or_refused(manifest: Manifest, texts: list[str], shape: list[int]) -> None:
    _accept_or_refuse(json.dumps({"inputs": [_tensor(*texts, shape=shape)]}), manifest)


@given(st.binary() | any_text)
def test_arbitrary_bytes_are_refused_and_never_fail_otherwise(manifest: Manifest, body: str | bytes) -> None:
    _accept_or_refuse(body, manifest)


@pytest.mark.parametrize("digits", [4000, 5000])
def test_a_number_too_long_to_print_is_refused_all_the_same(manifest: Manifest, digits: int) -> None:
    for shape in (f"[{'9' * digits}]", f"[{'9' * digits}, 1]", f"[{'9' * digits}, {'9' * digits}]"):
        _accept_or_refuse(_body("a").replace("[1]", shape), manifest)


OUTPUTS = {"label": ["outage", "billing"], "probabilities": [[0.25, 0.75], [1.0, 0.0]]}


def test_a_reply_holds_every_output_row_major_with_its_shape(manifest: Manifest) -> None:
    reply = json.loads(render_infer(manifest, "7", "k1.receipt", OUTPUTS, None))

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


@pytest.mark.parametrize("wanted", [["probabilities"], ["label"], ["probabilities", "label"]])
def test_a_reply_holds_only_the_outputs_that_were_asked_for(manifest: Manifest, wanted: list[str]) -> None:
    reply = json.loads(render_infer(manifest, "7", "k1.receipt", OUTPUTS, wanted))

    assert {tensor["name"] for tensor in reply["outputs"]} == set(wanted)
