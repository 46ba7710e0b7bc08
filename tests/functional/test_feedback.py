"""The feedback function as a whole: signed receipts in, items of the feedback table out."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from threading import Lock
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from feedback.schema import Feedback
from feedback.tally import mark_of
from pawl.identity import isoformat, unix_ms_of
from pawl.metrics import declared
from pawl.opinions import Opinions, Piece
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

    def send(body: Any, resource: str = "/feedback", key: str | None = None) -> tuple[int, Any]:
        request = rest("POST", resource, body, sender="feedback")
        if key is not None:
            request["headers"]["Idempotency-Key"] = key
            request["multiValueHeaders"]["Idempotency-Key"] = [key]
        reply = app.handler(request, context)
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
    """Every piece of feedback in its table."""
    return lambda: [item for item in cloud.feedback_items.scan()["Items"] if "metric" in item]


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
    "NaN": ("rating", float("nan"), "finite number"),
    "infinity": ("rating", float("inf"), "finite number"),
    "more than the database holds": ("rating", 10**40, "rating takes"),
    "an empty comment": ("comment", "", "comment takes 1 to 4000 characters"),
    "a comment that is a list": ("comment", ["fine"], "comment takes 1 to 4000 characters"),
    "a boolean as label": ("label", False, "label takes the right label"),
    "an empty label": ("label", "", "label takes"),
    "an object": ("label", {"0": "billing"}, "label takes the right label"),
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

    fields = "metric_name, value, inference_id, episode_id, tags, dryrun"
    assert (status, answer) == (400, {"error": f"body: no field 'episode': want some of {fields}"})
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
    assert unknown["error"].startswith("no field 'mood': want some of metric_name, value")


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


@pytest.fixture
def taught(cloud: Any) -> Callable[[], int]:
    """How many pieces of feedback were counted for the model's version."""

    def count() -> int:
        item = cloud.feedback_items.get_item(Key={"pk": "counts", "sk": "triage#1"}).get("Item", {})
        return int(item.get("taught", 0))

    return count


def test_a_late_label_is_stored_and_counted_in_one_transaction(
    post: Post, receipt: Callable[..., str], cloud: Any, taught: Callable[[], int]
) -> None:
    cloud.faults.reset()

    status, _ = post(say(receipt(days_ago=60), "label", "billing"))

    assert cloud.faults.calls == ["dynamodb.TransactWriteItems"]
    assert (status, taught()) == (200, 1)


def test_only_what_teaches_is_counted(post: Post, receipt: Callable[..., str], taught: Callable[[], int]) -> None:
    older, newer = receipt(days_ago=1), receipt()

    post(say(older, "thumbs_up", True))
    post(say(older, "rating", 4))
    post(say(older, "comment", "no"))
    assert taught() == 0
    post(say(older, "label", "billing"))
    post(say(older, "demonstration", "You get it back within a week."))
    post(say(older, "correction", {"outputs": [{"name": "label", "data": ["billing"]}]}))
    post({"metric_name": "preference", "value": {"chosen": newer, "rejected": older}})
    post({"metric_name": "ranking", "value": [{"value": newer, "rank": 1}, {"value": older, "rank": 2}]})
    assert taught() == 5


def _correction(name: str, value: Any = "billing") -> dict[str, Any]:
    return {"outputs": [{"name": name, "data": [value]}]}


@pytest.mark.parametrize("said", list(product(("label", "probabilities"), repeat=4)), ids=" ".join)
def test_a_correction_that_comes_to_teach_counts_once_whatever_is_said_before_and_after(
    said: tuple[str, ...], post: Post, receipt: Callable[..., str], taught: Callable[[], int]
) -> None:
    inference_id = receipt()

    for name in said:
        post(say(inference_id, "correction", _correction(name)))

    assert taught() == ("label" in said)


def test_a_correction_that_was_read_late_neither_teaches_nor_counts(
    app: ModuleType, receipt: Callable[..., str], now_ms: int, taught: Callable[[], int], stored: Any
) -> None:
    inference_id = receipt()

    for name, said_ms in (("probabilities", now_ms - 1_000), ("label", now_ms - 2_000)):
        sent = Feedback.model_validate(say(inference_id, "correction", _correction(name)))
        app.opinions.store([app.intake.read(sent, "key", said_ms)], said_ms)

    assert [item["value"] for item in stored()] == [_correction("probabilities")]
    assert taught() == 0


def test_a_word_counts_once_its_metric_has_come_to_teach(
    app: ModuleType, receipt: Callable[..., str], now_ms: int, taught: Callable[[], int]
) -> None:
    teaching = replace(app.intake, metrics=declared('{"thumbs_up": {"type": "boolean", "teaches": true}}'))
    sent = Feedback.model_validate(say(receipt()))

    for said_ms, intake in enumerate((app.intake, app.intake, teaching, teaching, app.intake, teaching), now_ms):
        app.opinions.store([intake.read(sent, "key", said_ms)], said_ms)

    assert taught() == 1


def test_a_replay_counts_once_a_rater_and_so_does_a_changed_mind(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]], taught: Callable[[], int]
) -> None:
    inference_id = receipt()

    for label in ("billing", "billing", "account", "billing"):
        post(say(inference_id, "label", label, tags={"rater": "ada"}))
    post(say(inference_id, "label", "account", tags={"rater": "grace"}))

    assert {item["rater"]: item["value"] for item in stored()} == {"ada": ["billing"], "grace": ["account"]}
    assert taught() == 2


def test_a_replay_keeps_the_time_that_the_feedback_was_given_at(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    feedback = say(receipt(), "label", "billing")
    post(feedback)
    (before,) = stored()

    post(feedback)

    (after,) = stored()
    assert after == {**before, "said_ms": after["said_ms"]}
    assert after["said_ms"] >= before["said_ms"]


class OneByOne:
    """A client of moto, which several threads may not call at once; DynamoDB itself puts calls in an order."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            with self._lock:
                return getattr(self._client, name)(**arguments)

        return call


def test_many_writers_at_once_count_each_piece_exactly_once(
    app: ModuleType, receipt: Callable[..., str], now_ms: int, taught: Callable[[], int]
) -> None:
    opinions = Opinions(OneByOne(boto3.client("dynamodb")), "feedback")
    pieces = [
        app.intake.read(app.Feedback(**say(receipt(), "label", "billing")), f"rater-{number % 3}", now_ms)
        for number in range(40)
    ]

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda start: opinions.store(pieces[start : start + 20], now_ms), [0, 10, 20, 15, 5, 0]))

    assert taught() == 40


def test_many_writers_at_once_count_what_comes_to_teach_exactly_once(
    app: ModuleType, receipt: Callable[..., str], now_ms: int, taught: Callable[[], int]
) -> None:
    opinions = Opinions(OneByOne(boto3.client("dynamodb")), "feedback")
    answers = [receipt() for _ in range(20)]

    def correct(name: str, said_ms: int) -> None:
        sent = [app.Feedback(**say(each, "correction", _correction(name))) for each in answers]
        opinions.store([app.intake.read(each, "ada", said_ms) for each in sent], now_ms)

    correct("probabilities", now_ms)
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(correct, ["probabilities", "label", "other", "label"] * 3, range(now_ms, now_ms + 12)))
    correct("label", now_ms + 20)

    assert taught() == 20


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_bulk_that_died_anywhere_and_came_again_is_counted_exactly_once(
    write: int,
    app: ModuleType,
    rest: Callable[..., dict[str, Any]],
    receipt: Callable[..., str],
    cloud: Any,
    context: Any,
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    items = [say(receipt(), "label", "billing") for _ in range(60)]
    request = rest("POST", "/feedback/bulk", {"items": items}, sender="feedback")
    cloud.faults.die_at(write)
    assert app.handler(request, context)["statusCode"] == 500  # Mangum answers even then; nobody gets to read it
    cloud.faults.reset()
    assert len(stored()) == taught() == 25 * (write - 1)

    assert app.handler(request, context)["statusCode"] == 200
    assert len(stored()) == taught() == 60


def test_a_bulk_of_a_hundred_labels_takes_few_calls(post: Post, receipt: Callable[..., str], cloud: Any) -> None:
    cloud.faults.reset()

    post({"items": [say(receipt(), "label", "billing") for _ in range(100)]}, "/feedback/bulk")

    assert cloud.faults.calls == ["dynamodb.TransactWriteItems"] * 4


def test_the_same_request_under_its_idempotency_key_gets_the_same_answer_and_undoes_nothing(
    post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]], taught: Callable[[], int]
) -> None:
    inference_id = receipt()
    first = say(inference_id, "label", "billing")

    answers = [post(first, key="k-1"), post(say(inference_id, "label", "account"), key="k-2"), post(first, key="k-1")]

    assert [status for status, _ in answers] == [200, 200, 200]
    assert answers[0] == answers[2]
    assert [item["value"] for item in stored()] == [["account"]]
    assert taught() == 1


@pytest.mark.parametrize("resource", ["/feedback", "/feedback/bulk"])
def test_another_body_under_the_same_idempotency_key_is_refused_and_not_stored(
    resource: str, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    one, other = say(receipt(), "label", "billing"), say(receipt(), "label", "billing")
    first, second = ({"items": [each]} if "bulk" in resource else each for each in (one, other))
    post(first, resource, "k-1")

    status, answer = post(second, resource, "k-1")

    assert (status, list(answer)) == (422, ["error"])
    assert answer["error"] == "this Idempotency-Key came with another body before: take a new key"
    assert [item["inference_id"] for item in stored()] == [one["inference_id"]]


def test_a_refused_request_does_not_use_its_idempotency_key_up(post: Post, receipt: Callable[..., str]) -> None:
    wrong, _ = post(say(receipt(), "label", 5), key="k-1")
    right, _ = post(say(receipt(), "label", "billing"), key="k-1")

    assert (wrong, right) == (400, 200)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_of_no_or_too_many_characters_is_refused(
    key: str, post: Post, receipt: Callable[..., str]
) -> None:
    status, answer = post(say(receipt()), key=key)

    assert status == 400
    assert "idempotency-key" in answer["error"]


def test_an_episode_is_named_by_its_first_answer_and_rated_apart_from_it(
    start: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    rest: Callable[..., dict[str, Any]],
    receipt: Callable[..., str],
    stored: Callable[[], list[dict[str, Any]]],
    context: Any,
) -> None:
    monkeypatch.setenv("METRICS", '{"solved": {"type": "boolean", "level": "episode", "models": ["triage"]}}')
    app = start("feedback.app")
    first = receipt()
    bodies = [
        {"metric_name": "solved", "value": True, "episode_id": first},
        {"metric_name": "comment", "value": "at last", "episode_id": first},
        {"metric_name": "comment", "value": "the first answer was wrong", "inference_id": first},
    ]

    replies = [app.handler(rest("POST", "/feedback", body, sender="feedback"), context) for body in bodies]

    assert [reply["statusCode"] for reply in replies] == [200, 200, 200]
    assert sorted((item["metric"], "episode_id" in item) for item in stored()) == [
        ("comment", False),
        ("comment", True),
        ("solved", True),
    ]


WRONG_TARGETS = {
    "none": ("thumbs_up", True, {}, "want exactly one of inference_id and episode_id; preference and ranking alone"),
    "both": (
        "thumbs_up",
        True,
        {"inference_id": 1, "episode_id": 1},
        "want exactly one of inference_id and episode_id",
    ),
    "another level": ("thumbs_up", True, {"episode_id": 1}, "thumbs_up is said of an inference: send inference_id"),
    "a demonstration of an episode": ("demonstration", "so", {"episode_id": 1}, "said of an inference"),
    "a preference with an episode": ("preference", {"tie": ["a", "b"]}, {"episode_id": 1}, "leave out episode_id"),
}


@pytest.mark.parametrize("wrong", WRONG_TARGETS)
def test_feedback_that_does_not_name_what_it_is_said_of_is_refused(
    wrong: str, post: Post, receipt: Callable[..., str], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    metric, value, target, explanation = WRONG_TARGETS[wrong]

    status, answer = post({"metric_name": metric, "value": value, **{name: receipt() for name in target}})

    assert (status, stored()) == (400, [])
    assert explanation in answer["error"]


def test_a_metric_of_another_model_is_refused(
    start: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    rest: Callable[..., dict[str, Any]],
    receipt: Callable[..., str],
    body_of: Callable[..., Any],
    context: Any,
) -> None:
    monkeypatch.setenv("METRICS", '{"helpful": {"type": "float", "models": ["assistant"]}}')
    request = rest("POST", "/feedback", say(receipt(), "helpful", 1), sender="feedback")

    reply = start("feedback.app").handler(request, context)

    assert body_of(reply) == {"error": "helpful is no metric of triage, but of ['assistant']"}


def test_receipts_of_before_a_rotation_of_the_keys_are_taken_and_those_of_a_dropped_key_are_not(
    start: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    rest: Callable[..., dict[str, Any]],
    receipt: Callable[..., str],
    context: Any,
) -> None:
    def give(receipt_keys: str, inference_id: str) -> int:
        monkeypatch.setenv("RECEIPT_KEYS", receipt_keys)
        return start("feedback.app").handler(rest("POST", "/feedback", say(inference_id)), context)["statusCode"]

    rotated = f"2:{'n' * 64},1:{'s' * 32}"

    assert give(rotated, receipt()) == 200
    assert give(rotated, receipt(signed_with=ReceiptKeys(rotated))) == 200
    assert give(f"2:{'n' * 64}", receipt()) == 400


def test_a_preference_is_found_with_its_newer_answer_and_taken_back_by_the_same_rater(
    post: Post, receipt: Callable[..., str], cloud: Any, now_ms: int, taught: Callable[[], int]
) -> None:
    older, newer = receipt(days_ago=2), receipt()

    post({"metric_name": "preference", "value": {"chosen": older, "rejected": newer, "margin": 0.5}})
    post({"metric_name": "preference", "value": {"tie": [newer, older]}})

    (found,) = cloud.feedback.within("triage", now_ms - DAY_MS, now_ms + 1)
    assert (found["value"], found["metric"], "inference_id" in found) == ({"tie": [newer, older]}, "preference", False)
    assert taught() == 1


def test_a_label_from_before_is_replaced_and_not_counted_again(
    post: Post,
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
) -> None:
    inference_id = receipt()
    body = {"metric": "label", "value": ["other"], "given_at": "2026-01-01T00:00:00.000Z", "rater": "ada"}
    uuid = inference_id.split(".")[1]
    cloud.put_feedback(model="triage", inference_uuid=uuid, metric="label", rater="ada", body=body)

    post(say(inference_id, "label", "billing", tags={"rater": "ada"}))

    assert [item["value"] for item in stored()] == [["billing"]]
    assert taught() == 0


@pytest.mark.parametrize("metric", ["preference", "thumbs_up"])
def test_a_word_said_again_counts_from_then_on_and_one_from_in_between_that_is_read_late_does_not(
    metric: str,
    app: ModuleType,
    receipt: Callable[..., str],
    cloud: Any,
    stored: Callable[[], list[dict[str, Any]]],
    taught: Callable[[], int],
    now_ms: int,
) -> None:
    one, other = receipt(), receipt()
    pair = {"chosen": one, "rejected": other}, {"chosen": other, "rejected": one}
    first, opposite = pair if metric == "preference" else (True, False)
    beside = {"inference_id": one} if metric == "thumbs_up" else {}

    for value, said_ms in ((first, now_ms - 3_000), (first, now_ms - 1_000), (opposite, now_ms - 2_000)):
        sent = Feedback(metric_name=metric, value=value, tags={"rater": "ada"}, **beside)
        piece = app.intake.read(sent, "key", said_ms)
        app.opinions.store([piece], said_ms)
        app.tally.note([piece], 90)

    (item,) = stored()
    assert (item["value"], item["said_ms"], item["given_at"]) == (first, now_ms - 1_000, isoformat(now_ms - 3_000))
    votes = list(app.tally.votes("triage").values())
    assert votes == ([{"ada": mark_of(one)}] if metric == "preference" else [])
    assert taught() == (1 if metric == "preference" else 0)


def test_what_another_writer_changes_in_between_is_still_to_count(
    app: ModuleType,
    receipt: Callable[..., str],
    now_ms: int,
    taught: Callable[[], int],
    stored: Callable[[], list[dict[str, Any]]],
) -> None:
    answer = receipt()

    def corrected(name: str, said_ms: int) -> Piece:
        sent = app.Feedback(**say(answer, "correction", _correction(name)))
        return app.intake.read(sent, "ada", said_ms)

    class Overtaken:
        """A client that another writer overtakes as soon as its first write is refused."""

        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def put_item(self, **put: Any) -> None:
            try:
                self._client.put_item(**put)
            except ClientError:
                Opinions(self._client, "feedback").store([corrected("other", now_ms + 1)], now_ms)
                raise

    client: Any = boto3.client("dynamodb")
    Opinions(client, "feedback").store([corrected("probabilities", now_ms)], now_ms)
    Opinions(Overtaken(client), "feedback").store([corrected("probabilities", now_ms + 2)], now_ms)
    (item,) = stored()
    assert (item["said_ms"], item["uncounted"], taught()) == (now_ms + 2, True, 0)

    Opinions(client, "feedback").store([corrected("label", now_ms + 3)], now_ms)

    assert taught() == 1
