"""`pawl lineage` both ways over a deployment that has turned three times and erased a person in between."""

from typing import Any

import pytest
from tests.functional.operated import RUN, Operated, operate

from operations.stack import OperationError
from operations.tracing import Tracer
from pawl.quarantine import Entry, Quarantine
from pawl.tombstones import answer_uuid, subject_digest
from pawl.versions import VersionRecord


@pytest.fixture
def operated(cloud: Any, starter: Any, dataset: Any, answered: Any, store_traffic: Any, now_ms: int) -> Operated:
    return operate(cloud, starter, dataset, answered, store_traffic, now_ms)


@pytest.fixture
def trace(operated: Operated) -> Any:
    return Tracer(operated.stack).trace


def seen(found: dict[str, Any]) -> list[tuple[str, str, dict[str, int]]]:
    return [(each["version"].rpartition("/")[2], each["how"], each["rows"]) for each in found["seen_by"]]


def test_a_prediction_leads_back_to_version_dataset_and_feedback_and_on_to_what_learned_from_it(
    trace: Any, operated: Operated, dataset: Any
) -> None:
    found = trace(operated.asked)

    assert found["kind"] == "answer"
    assert (found["about"]["model"], found["about"]["captured"], found["about"]["erased"]) == (
        "models:/triage/1",
        True,
        False,
    )
    assert [(each["metric"], each["feedback_id"]) for each in found["feedback"]] == [("label", operated.feedback_id)]
    assert (found["version"]["run"], found["version"]["code"]) == ("run-1", "tests")
    assert [(each["digest"], each["rows"]) for each in found["datasets"]] == [
        (dataset.digest, {"train": len(dataset.splits["train"]), "holdout": 6})
    ]
    assert seen(found) == [
        ("2", "learned from it", {"train": 1}),
        ("3", "keeps weights that learned from it", {"train": 1}),
        ("5", "learned from it", {"train": 1}),
    ]
    assert [each["state"] for each in found["seen_by"]] == ["retired", "live", "run failed"]


def test_an_answer_that_was_held_out_has_judged_versions_and_taught_none(trace: Any, operated: Operated) -> None:
    found = trace(operated.judged)

    assert found["feedback"] == []
    assert seen(found) == [(each, "was judged by it", {"recent": 1}) for each in "2345"]


def test_an_answer_s_uuid_alone_is_enough_to_find_what_saw_it(trace: Any, operated: Operated) -> None:
    whole, alone = trace(operated.asked), trace(answer_uuid(operated.asked))

    assert alone["seen_by"] == whole["seen_by"]
    assert alone["about"] == {"given_at": whole["about"]["given_at"], "erased": False}


def test_an_answer_that_was_not_captured_is_in_no_dataset(trace: Any, operated: Operated) -> None:
    key, uuid, *rest = operated.asked.split(".")
    found = trace(".".join([key, f"{uuid[:-1]}{'0' if uuid[-1] != '0' else '1'}", *rest]))

    assert (found["about"]["captured"], found["seen_by"]) == (False, [])


def test_feedback_leads_to_its_answer_and_tells_whether_it_waits_in_quarantine(
    trace: Any, operated: Operated, cloud: Any
) -> None:
    found = trace(operated.feedback_id)
    assert (found["about"]["rater"], found["about"]["quarantine"]) == ("rater", "no")
    assert found["about"]["inference_id"] == operated.asked
    assert found["seen_by"] == trace(operated.asked)["seen_by"]

    entry = Entry(operated.feedback_id, operated.asked, "rater", "label", ["billing"], "", "burst", "fast", 70.0, 60.0)
    Quarantine(cloud.bucket, "triage").replace("1", [entry])
    assert trace(operated.feedback_id)["about"]["quarantine"] == "waits"
    Quarantine(cloud.bucket, "triage").restore(operated.feedback_id)
    assert trace(operated.feedback_id)["about"]["quarantine"] == "restored"


@pytest.mark.parametrize("name", ["ada", subject_digest("ada")])
def test_an_erased_subject_leads_to_every_version_that_saw_their_rows(trace: Any, name: str) -> None:
    found = trace(name)

    assert found["about"] == {"subject": subject_digest("ada"), "erased": True, "feedback": 1, "answers": 1}
    assert [each["version"] for each in found["seen_by"]] == [f"models:/triage/{n}" for n in "235"]


def test_whom_a_request_named_is_found_by_what_traffic_calls_them(trace: Any) -> None:
    found = trace("bob")

    assert (found["about"]["erased"], found["about"]["feedback"]) == (False, 0)
    assert seen(found) == [(each, "was judged by it", {"recent": 1}) for each in "2345"]


def test_a_rater_is_found_by_what_a_tool_made_of_their_name_and_by_every_answer_that_they_compared(
    trace: Any, operated: Operated, cloud: Any
) -> None:
    value = {"chosen": operated.asked, "rejected": operated.judged}
    body = {"feedback_id": "f", "metric": "preference", "value": value, "rater": "argilla/eve", "tags": {}}
    newest = max(map(answer_uuid, value.values()))
    cloud.put_feedback(model="triage", inference_uuid=newest, metric="preference.x", rater="argilla/eve", body=body)

    found = trace("eve")

    assert (found["about"]["feedback"], found["about"]["answers"]) == (1, 2)
    assert seen(found)[0] == ("2", "learned from it", {"train": 1, "recent": 1})


def test_a_rater_leads_to_the_rows_of_the_answers_that_they_labelled(trace: Any) -> None:
    found = trace("rater")

    assert (found["about"]["erased"], found["about"]["feedback"]) == (False, 1)
    assert [each["version"] for each in found["seen_by"]] == [f"models:/triage/{n}" for n in "235"]


def test_a_version_leads_back_parent_by_parent_and_on_to_what_followed_it(
    trace: Any, operated: Operated, dataset: Any
) -> None:
    found = trace("models:/triage/3")

    assert found == {**trace("models:/triage@live"), "id": "models:/triage/3"}
    assert [each["version"] for each in found["parents"]] == ["2", "1"]
    assert [each["digest"] for each in found["datasets"]] == [
        operated.datasets[3].digest,
        operated.datasets[2].digest,
        dataset.digest,
    ]
    assert (found["run"]["run"], found["run"]["because"]) == (RUN[3], "drift")
    assert [each["version"] for each in found["followed_by"]] == ["4"]
    assert found["about"]["gates"] == "1/1"


def test_a_run_leads_to_its_dataset_and_its_version(trace: Any, operated: Operated) -> None:
    found = trace(RUN[5])

    assert (found["kind"], found["about"]["status"]) == ("run", "failed")
    assert (found["version"]["version"], found["version"]["state"]) == ("5", "run failed")
    assert found["datasets"][0]["digest"] == operated.datasets[2].digest


def test_a_dataset_leads_to_every_version_that_saw_its_rows_though_later_ones_inherited_fewer(
    trace: Any, operated: Operated, dataset: Any
) -> None:
    found = trace(operated.datasets[2].digest)

    train = len(dataset.splits["train"])
    assert found["about"] == {"model": "triage", "rows": train + 1 + 6 + 1}
    whole = {"train": train + 1, "holdout": 6, "recent": 1}
    later = {**whole, "train": train}
    assert seen(found) == [
        (version, "learned from it", whole if version in "25" else later) for version in ("2", "3", "4", "5")
    ]
    assert trace(operated.datasets[2].digest[:12]) == found
    first = trace(dataset.digest)
    assert [each["version"][-1] for each in first["seen_by"]] == ["1", "2", "3", "4", "5"]


def test_a_candidate_that_could_not_be_opened_saw_what_its_run_was_given(operated: Operated, cloud: Any) -> None:
    cloud.registry.record_version(VersionRecord("triage", "5", "refused", ""))
    cloud.bucket.write("candidates/triage/5/manifest.json", b"[]")

    found = Tracer(operated.stack).trace(operated.asked)

    assert [(each["version"], each["state"]) for each in found["seen_by"]][-1] == ("models:/triage/5", "refused")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "nothing here is by or about 'nobody'"),
        ("00000000-0000-5000-8000-000000000000", "no feedback"),
        ("models:/triage/99", "no version 99 of 'triage'"),
        ("models:/triage", "names no version"),
        ("", "an empty id names nothing"),
    ],
)
def test_what_names_nothing_is_refused_with_what_would_be_right(trace: Any, name: str, message: str) -> None:
    with pytest.raises(OperationError, match=message) as refused:
        trace(name)

    assert "models:/NAME" in refused.value.then or "pawl releases" in refused.value.then


def test_a_subject_called_like_something_else_is_asked_for_as_a_subject(trace: Any) -> None:
    with pytest.raises(OperationError, match="by or about 'models:/triage/3'"):
        trace("models:/triage/3", is_subject=True)
