"""The feedback function as a whole: signed receipts in, items of the feedback table out."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from pawl.identity import isoformat, unix_ms_of
from pawl.receipt import ReceiptKeys

DAY_MS = 86_400_000
Post = Callable[..., tuple[int, Any]]


@pytest.fixture
def app(start: Callable[[str], ModuleType]) -> ModuleType:
    return start("feedback.app")


@pytest.fixture
def post(
    app: ModuleType, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], context: Any
) -> Callable[..., tuple[int, Any]]:
    """Sends a body and returns status and answer."""

    def send(body: Any, resource: str = "/feedback") -> tuple[int, Any]:
        reply = app.handler(rest("POST", resource, body, sender="feedback"), context)
        return reply["statusCode"], body_of(reply)

    return send


@pytest.fixture
def receipt(keys: ReceiptKeys, now_ms: int) -> Callable[..., str]:
    """Signs the inference_id of an answer given some days ago."""
    given = iter(range(1, 1_000_000))

    def sign(rows: int = 1, days_ago: float = 0.0, signed_with: ReceiptKeys = keys) -> str:
        return signed_with.sign(
            model="triage",
            model_version="1",
            function_version="3",
            rows=rows,
            payload=b"refund",
            unix_ms=now_ms - round(days_ago * DAY_MS),
            random=next(given).to_bytes(10, "big"),
        )

    return sign


@pytest.fixture
def stored(cloud: Any) -> Callable[[], list[dict[str, Any]]]:
    """Every item of the feedback table."""
    return lambda: cloud.feedback_items.scan()["Items"]


def say(inference_id: str, metric: str = "thumbs_up", value: Any = True, **more: Any) -> dict[str, Any]:
    return {"metric_name": metric, "value": value, "inference_id": inference_id, **more}


def test_feedback_for_an_answer_is_stored_where_its_model_and_day_are_looked_up(
    app: ModuleType,
    event: Callable[[str], dict[str, Any]],
    receipt: Callable[..., str],
    body_of: Callable[..., Any],
    stored: Callable[[], list[dict[str, Any]]],
    context: Any,
) -> None:
    inference_id = receipt()
    request = event("api_gateway_feedback")
    request["body"] = json.dumps(json.loads(request["body"]) | {"inference_id": inference_id})

    reply = app.handler(request, context)

    assert reply["statusCode"] == 200
    (item,) = stored()
    uuid = inference_id.split(".")[1]
    assert item["pk"] == f"triage#{isoformat(unix_ms_of(uuid))[:10]}"
    assert item["sk"] == f"{uuid}#thumbs_up#ak7x2m9q1z"  # the API key's id: nobody else was named
    assert (item["metric"], item["value"], item["model_version"]) == ("thumbs_up", True, "1")
    assert (item["inference_id"], item["tags"]) == (inference_id, {"channel": "web"})
    assert body_of(reply) == {"feedback_id": item["feedback_id"]}


def test_what_was_stored_is_found_again_by_model_and_time(
    post: Post, receipt: Callable[..., str], cloud: Any, now_ms: int
) -> None:
    post(say(receipt(), "rating", 0.5))
    post(say(receipt(days_ago=3), "rating", 1))
    post(say(receipt(days_ago=9), "rating", 2))

    found = list(cloud.feedback.within("triage", now_ms - 5 * DAY_MS, now_ms + 1))

    assert [item["value"] for item in found] == [1, 0.5]


ALTERATIONS = {
    "another model": lambda parts: [*parts[:2], "other", *parts[3:]],
    "another version": lambda parts: [*parts[:3], "9", *parts[4:]],
    "more rows": lambda parts: [*parts[:5], "99", *parts[6:]],
    "another time": lambda parts: [parts[0], "f" * 32, *parts[2:]],
    "another mac": lambda parts: [*parts[:7], parts[7][::-1]],
    "no mac": lambda parts: parts[:7],
    "an unknown key": lambda parts: ["2", *parts[1:]],
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_feedback_for_a_forged_inference_is_refused_and_not_stored(
    alteration: str, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    forged = ".".join(ALTERATIONS[alteration](receipt().split(".")))

    status, answer = post(say(forged))

    assert (status, list(answer)) == (400, ["error"])
    assert "send it back as it came" in answer["error"]
    assert stored() == []


def test_a_receipt_signed_with_a_secret_of_ones_own_is_refused(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    status, _ = post(say(receipt(signed_with=ReceiptKeys("1:" + "x" * 32))))

    assert (status, stored()) == (400, [])


WRONG_VALUES = {
    "an unknown metric": ("stars", 5, "no metric 'stars'"),
    "a number as thumbs": ("thumbs_up", 1, "thumbs_up takes true or false"),
    "text as thumbs": ("thumbs_up", "yes", "thumbs_up takes true or false"),
    "a boolean as rating": ("rating", True, "rating takes a number"),
    "text as rating": ("rating", "5", "rating takes a number"),
    "NaN": ("rating", float("nan"), "rating takes"),
    "infinity": ("rating", float("inf"), "rating takes"),
    "more than the database holds": ("rating", 10**40, "rating takes"),
    "an empty comment": ("comment", "", "comment takes 1 to 4000 characters"),
    "a comment that is a list": ("comment", ["fine"], "comment takes 1 to 4000 characters"),
    "a boolean as label": ("label", False, "label takes the right label"),
    "an empty label": ("label", "", "label takes"),
    "an object": ("label", {"0": "billing"}, "value"),
}


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_a_value_that_does_not_fit_its_metric_is_refused(
    wrong: str, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    metric, value, explanation = WRONG_VALUES[wrong]

    status, answer = post(say(receipt(), metric, value))

    assert (status, list(answer)) == (400, ["error"])
    assert explanation in answer["error"]
    assert stored() == []


@pytest.mark.parametrize("value", [["billing"], ["billing", "account", "other"], "billing"])
def test_labels_for_another_number_of_rows_than_were_answered_are_refused(
    value: Any, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    status, answer = post(say(receipt(rows=2), "label", value))

    assert status == 400
    assert answer["error"].endswith("or a list of 2: one for each row of that answer")
    assert stored() == []


@pytest.mark.parametrize(("rows", "value"), [(1, "billing"), (2, ["billing", "other"])])
def test_a_label_is_stored_as_one_label_a_row(
    rows: int, value: Any, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    status, _ = post(say(receipt(rows=rows), "label", value))

    assert status == 200
    assert stored()[0]["value"] == ["billing", "other"][:rows]


def test_late_feedback_is_taken_until_the_receipt_expires(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    on_time, _ = post(say(receipt(days_ago=89.9)))
    late, answer = post(say(receipt(days_ago=90.1)))

    assert (on_time, late) == (200, 400)
    assert answer == {"error": "inference_id is older than 90 days: feedback for it is closed"}
    assert len(stored()) == 1


def test_an_unknown_field_is_refused_by_name_and_what_was_sent_is_not_repeated(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    status, answer = post(say(receipt(), episode="private words"))

    assert (status, answer) == (400, {"error": "body.episode: Extra inputs are not permitted"})
    assert stored() == []


@pytest.mark.parametrize("body", ["{", "", "[]", '{"metric_name": "thumbs_up"}'])
def test_a_body_that_is_no_feedback_is_refused(body: str, post: Post) -> None:
    status, answer = post(body)

    assert (status, list(answer)) == (400, ["error"])


def test_a_dry_run_checks_everything_and_stores_nothing(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    inference_id = receipt()

    dry = post(say(inference_id, dryrun=True))
    bad, _ = post(say(inference_id, "rating", "five", dryrun=True))
    assert stored() == []
    real = post(say(inference_id))

    assert (dry[0], bad) == (200, 400)
    assert dry == real


def test_feedback_sent_twice_counts_once_and_the_later_word_counts(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    inference_id = receipt()

    first, second, third = (post(say(inference_id, value=value)) for value in (True, True, False))

    assert first == second == third
    assert [item["value"] for item in stored()] == [False]


def test_two_raters_of_one_answer_count_each(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    inference_id = receipt()

    answers = [post(say(inference_id, tags={"rater": rater})) for rater in ("ada", "grace")]

    assert answers[0] != answers[1]
    assert sorted(item["rater"] for item in stored()) == ["ada", "grace"]


def test_a_bulk_takes_what_is_good_and_says_what_is_wrong_with_the_rest_in_order(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    items = [
        say(receipt(), "rating", 4),
        say("forged"),
        say(receipt(), "rating", "four"),
        say(receipt(), mood="good"),
        say(receipt(), "comment", "fine"),
    ]

    status, answer = post({"items": items}, "/feedback/bulk")

    assert status == 200
    taken, forged, wrong, unknown, comment = answer["items"]
    assert sorted(item["feedback_id"] for item in stored()) == sorted([taken["feedback_id"], comment["feedback_id"]])
    assert forged == {"error": "inference_id is not one that this deployment gave: send it back as it came"}
    assert "rating takes a number" in wrong["error"]
    assert unknown == {"error": "mood: Extra inputs are not permitted"}


@pytest.mark.parametrize("count", [0, 101])
def test_a_bulk_of_none_or_too_many_is_refused_whole(
    count: int, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    status, answer = post({"items": [say(receipt()) for _ in range(count)]}, "/feedback/bulk")

    assert (status, list(answer)) == (400, ["error"])
    assert stored() == []


def test_feedback_costs_one_write_and_no_look_up(post: Post, receipt: Callable[..., str], cloud: Any) -> None:
    cloud.faults.reset()

    post(say(receipt()))

    assert cloud.faults.calls == ["dynamodb.PutItem"]


def test_feedback_that_could_not_be_written_is_not_accepted(
    app: ModuleType,
    rest: Callable[..., dict[str, Any]],
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
    context: Any,
) -> None:
    cloud.faults.fail_at(1)

    reply = app.handler(rest("POST", "/feedback", say(receipt()), sender="feedback"), context)

    assert (reply["statusCode"], stored()) == (500, [])
