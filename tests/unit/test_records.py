import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import InvalidRecord
from pawl.records import CaptureRecord, answer_features, columns_of, inference_id_in

Make = Callable[..., CaptureRecord]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def _raw(captured: Make, **changes: Any) -> dict[str, Any]:
    return {**json.loads(captured().to_json()), **changes}


def test_a_record_survives_the_queue(captured: Make) -> None:
    record = captured(inputs={"text": ['Zażółć "gęślą"\njaźń\u2028']})

    line = record.to_json()

    assert "\n" not in line
    assert CaptureRecord.from_dict(json.loads(line)) == record


def test_a_record_with_a_subject_is_of_the_next_schema_and_others_stay_as_they_were(captured: Make) -> None:
    record = captured(subject="5c1a")

    assert CaptureRecord.from_dict(json.loads(record.to_json())) == record
    assert (json.loads(record.to_json())["schema"], json.loads(captured().to_json())["schema"]) == (2, 1)
    assert "subject" not in captured().to_json()


@pytest.mark.parametrize("field", ["inference_id", "model", "features", "schema"])
def test_a_record_without_a_field_is_refused(captured: Make, field: str) -> None:
    raw = _raw(captured)
    del raw[field]

    with pytest.raises(InvalidRecord, match="want exactly the fields"):
        CaptureRecord.from_dict(raw)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "want exactly the fields"),
        ({"schema": 2}, "with schema 1"),
        ({"subject": "5c1a"}, "want exactly the fields"),
        ({"schema": 2, "subject": 7}, "subject must be a string"),
        ({"inference_id": 7}, "inference_id must be a string"),
        ({"version": 3}, "version must be a string"),
        ({"unix_ms": 1.5}, "unix_ms must be a whole number"),
        ({"inputs": ["text"]}, "inputs must map names to lists"),
        ({"outputs": {"label": "outage"}}, "outputs must map names to lists"),
        ({"features": {"tokens": [1, 2], "label": ["outage"]}}, "lists in features must be equally long"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_with_the_field(
    captured: Make, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRecord, match=message):
        CaptureRecord.from_dict(_raw(captured, **changes))


@given(json_values, st.sampled_from(["inference_id", "unix_ms", "inputs", "outputs", "features", "schema", "new"]))
def test_whatever_stands_in_a_queue_is_a_record_or_refused(captured: Make, value: Any, field: str) -> None:
    for raw in (value, _raw(captured, **{field: value})):
        try:
            record = CaptureRecord.from_dict(raw)
        except InvalidRecord:
            continue
        assert isinstance(record.inference_id, str) and isinstance(record.features, dict)


def test_the_columns_of_many_records_follow_one_another(captured: Make) -> None:
    records = [
        captured(features={"tokens": [1, 2], "label": ["a", "b"]}),
        captured(features={"tokens": [3], "label": ["c"]}),
    ]

    assert columns_of(records) == {"tokens": [1, 2, 3], "label": ["a", "b", "c"]}
    assert columns_of([]) == {}


def test_rows_without_a_feature_that_others_have_are_missing_there(captured: Make) -> None:
    records = [
        captured(features={"tokens": [1, 2]}),
        captured(features={"tokens": [3], "latency_ms": [7.5]}),
        captured(features={}),
    ]

    assert columns_of(records) == {"tokens": [1, 2, 3], "latency_ms": [None, None, 7.5]}


def test_the_features_of_an_answer_are_columns_of_plain_rounded_values() -> None:
    features = answer_features(["a", "b"], [0.123456789, 1.0], [[0.123456, -2.0], [1.0, 0.00004]])

    assert features == {
        "label": ["a", "b"],
        "confidence": [0.123457, 1.0],
        "projection_0": [0.1235, 1.0],
        "projection_1": [-2.0, 0.0],
    }


def test_an_answer_without_projections_has_the_other_features() -> None:
    assert sorted(answer_features(["a"], [0.5], [[]])) == ["confidence", "label"]


@given(st.text())
def test_a_lines_inference_id_is_what_reading_all_of_it_finds(inference_id: str) -> None:
    record = CaptureRecord(inference_id, "triage", "3", 1, {}, {}, {})
    raw = json.loads(record.to_json())

    for line in (record.to_json(), json.dumps(raw), json.dumps(dict(reversed(raw.items())))):
        assert inference_id_in(line.encode("utf-8", "surrogatepass")) == inference_id
