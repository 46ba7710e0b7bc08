"""The labelling page's routes: pairs in the bucket in, the next ones for a rater out, labels through POST /feedback."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import pytest

from feedback.page import HEADERS, PAGE
from feedback.tally import TIE, Tally
from pawl.identity import uuid7_hex
from pawl.opinions import Piece
from pawl.receipt import ReceiptKeys

DAY_MS = 86_400_000


@pytest.fixture
def app(start: Callable[[str], ModuleType]) -> ModuleType:
    return start("feedback.app")


@pytest.fixture
def ask(app: ModuleType, rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any], context: Any) -> Any:
    """Sends a request and returns status and answer."""

    def send(resource: str = "/label/pairs", body: Any = None, **query: str) -> tuple[int, Any]:
        request = rest("GET" if body is None else "POST", resource, body, sender="feedback")
        request["multiValueQueryStringParameters"] = {name: [value] for name, value in query.items()} or None
        reply = app.handler(request, context)
        return reply["statusCode"], body_of(reply)

    return send


@pytest.fixture
def receipt(keys: ReceiptKeys, now_ms: int) -> Callable[..., str]:
    given = iter(range(1, 1_000_000))

    def sign(prompt: str, model: str = "assistant", days_ago: float = 0) -> str:
        return keys.sign(
            model=model,
            model_version="1",
            function_version="3",
            rows=1,
            payload=prompt.encode(),
            unix_ms=now_ms - round(days_ago * DAY_MS),
            random=next(given).to_bytes(10, "big"),
        )

    return sign


@pytest.fixture
def pair(receipt: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    def make(prompt: str, **more: Any) -> dict[str, Any]:
        about = {name: more.pop(name) for name in ("model", "days_ago") if name in more}
        answers = [{"text": f"{word} {prompt}", "inference_id": receipt(prompt, **about)} for word in ("Yes", "No")]
        return {"prompt": prompt, "answers": answers, **more}

    return make


@pytest.fixture
def put(cloud: Any) -> Callable[..., None]:
    def write(*pairs: dict[str, Any], name: str = "some", model: str = "assistant") -> None:
        cloud.bucket.write(f"pairs/{model}/{name}.jsonl", "\n".join(map(json.dumps, pairs)).encode())

    return write


def prefer(asked: dict[str, Any], better: int, rater: str) -> dict[str, Any]:
    """What the page sends: which of the answers, as they stand there, is better."""
    names = [each["inference_id"] or each["text"] for each in asked["answers"]]
    value = {"chosen": names[better], "rejected": names[1 - better]}
    beside = {"inference_id": asked["inference_id"]} if asked["inference_id"] else {}
    return {"metric_name": "preference", "value": value, "tags": {"rater": rater}, **beside}


def test_the_page_is_sent_with_its_policy_and_holds_no_data(
    app: ModuleType, rest: Callable[..., dict[str, Any]], context: Any
) -> None:
    reply = app.handler(rest("GET", "/label", sender="feedback"), context)
    headers = reply["headers"]

    assert (reply["statusCode"], reply["isBase64Encoded"], reply["body"]) == (200, False, PAGE)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS


def test_a_rater_gets_no_pair_twice_and_another_rater_still_does(ask: Any, put: Any, pair: Any) -> None:
    put(pair("a"), pair("b"), pair("c"))
    (first, *_) = ask(model="assistant", rater="ada")[1]["pairs"]

    assert ask("/feedback", prefer(first, 0, "ada"))[0] == 200

    again, other = (ask(model="assistant", rater=rater)[1] for rater in ("ada", "bo"))
    assert (again["labelled"], again["left"], len(again["pairs"])) == (1, 2, 2)
    assert first["id"] not in {each["id"] for each in again["pairs"]}
    assert (other["labelled"], other["left"]) == (0, 3)
    assert other["pairs"][-1]["id"] == first["id"]  # it has a label, so it teaches least


def test_pairs_in_dispute_are_asked_before_those_that_raters_agree_on(ask: Any, put: Any, pair: Any) -> None:
    put(pair("agreed"), pair("disputed"), pair("drawn"))
    asked = {each["prompt"]: each for each in ask(model="assistant", rater="ada")[1]["pairs"]}
    for rater in ("ada", "bo"):
        ask("/feedback", prefer(asked["agreed"], 0, rater))
        ask("/feedback", prefer(asked["disputed"], int(rater == "bo"), rater))
    tie = {"tie": [each["inference_id"] for each in asked["drawn"]["answers"]]}
    for rater in ("ada", "bo", "cy"):
        ask("/feedback", {"metric_name": "preference", "value": tie, "tags": {"rater": rater}})

    found = ask(model="assistant", rater="di")[1]["pairs"]

    assert [each["prompt"] for each in found] == ["disputed", "agreed", "drawn"]


def test_a_later_word_takes_the_place_of_the_earlier_in_the_choice_too(ask: Any, put: Any, pair: Any) -> None:
    put(pair("a"), pair("b"))
    asked = {each["prompt"]: each for each in ask(model="assistant", rater="ada")[1]["pairs"]}
    for prompt in asked:
        ask("/feedback", prefer(asked[prompt], 0, "ada"))
        ask("/feedback", prefer(asked[prompt], 0, "bo"))
    ask("/feedback", prefer(asked["b"], 1, "bo"))

    assert [each["prompt"] for each in ask(model="assistant", rater="cy")[1]["pairs"]] == ["b", "a"]


def test_what_was_said_earlier_and_arrives_later_changes_nothing(cloud: Any) -> None:
    uuid = uuid7_hex(1_700_000_000_000, bytes(10))
    later, earlier = (
        Piece("assistant", "1", uuid, "preference.x", "ada", said_ms, True, {"metric": "preference", "value": value})
        for said_ms, value in ((2, {"tie": ["a", "b"]}), (1, {"chosen": "a", "rejected": "b"}))
    )
    tally = Tally(boto3.client("dynamodb"), "feedback")

    tally.note([later, earlier], 90)

    assert tally.votes("assistant") == {f"{uuid}#preference.x": {"ada": TIE}}


def test_a_vote_leaves_the_tally_when_its_answer_can_no_longer_be_compared(
    ask: Any, put: Any, pair: Any, cloud: Any, now_ms: int
) -> None:
    put(pair("a", days_ago=89.5))
    (asked,) = ask(model="assistant", rater="ada")[1]["pairs"]

    ask("/feedback", prefer(asked, 0, "ada"))

    (tallied,) = [item for item in cloud.feedback_items.scan()["Items"] if item["pk"] == "compared/assistant"]
    assert int(tallied["expires_at"]) - now_ms // 1000 == pytest.approx(DAY_MS // 2000, abs=1)


def test_votes_on_answers_before_and_after_all_pairs_that_are_offered_are_not_read(
    ask: Any, put: Any, pair: Any, cloud: Any
) -> None:
    """A page of the table's answers holds 1 MB: more pages would be more calls."""
    put(pair("a"), pair("b"))
    (asked, _) = ask(model="assistant", rater="ada")[1]["pairs"]
    for rater in ("ada", "\U0010ffff#"):
        ask("/feedback", prefer(asked, 0, rater))
    with cloud.feedback_items.batch_writer() as batch:
        for number in range(1200):
            for uuid in (uuid7_hex(1_700_000_000_000, bytes(10)), "f" * 32):
                key = {"pk": "compared/assistant", "sk": f"{uuid}#preference.x#{number}#{'x' * 900}"}
                batch.put_item({**key, "mark": TIE})
    cloud.faults.reset()

    lefts = [ask(model="assistant", rater=rater)[1]["left"] for rater in ("ada", "\U0010ffff#", "cy")]

    assert lefts == [1, 1, 2]
    assert cloud.faults.calls.count("dynamodb.Query") == 3


def test_more_votes_than_one_answer_of_the_table_holds_are_all_found(cloud: Any) -> None:
    tally, uuid = Tally(boto3.client("dynamodb"), "feedback"), uuid7_hex(1_700_000_000_000, bytes(10))
    raters = [f"{number}#{'x' * 900}" for number in range(1200)]  # 1 MB is what a page holds

    with cloud.feedback_items.batch_writer() as batch:
        for rater in raters:
            batch.put_item({"pk": "compared/assistant", "sk": f"{uuid}#preference.x#{rater}", "mark": TIE})

    assert tally.votes("assistant") == {f"{uuid}#preference.x": dict.fromkeys(sorted(raters), TIE)}


def test_a_bulk_counts_as_well_and_a_dry_run_does_not(ask: Any, put: Any, pair: Any) -> None:
    put(pair("a"), pair("b"))
    one, other = ask(model="assistant", rater="ada")[1]["pairs"]

    ask("/feedback/bulk", {"items": [prefer(one, 0, "ada"), {**prefer(other, 0, "ada"), "dryrun": True}]})

    assert [each["id"] for each in ask(model="assistant", rater="ada")[1]["pairs"]] == [other["id"]]


def test_texts_beside_a_receipt_are_compared_as_texts(ask: Any, put: Any, receipt: Any, cloud: Any) -> None:
    own = receipt("hi")
    put({"prompt": "hi", "answers": [{"text": "Hello."}, {"text": "Go away."}], "inference_id": own, "chance": 0.7})
    (asked,) = ask(model="assistant", rater="ada")[1]["pairs"]

    assert ask("/feedback", prefer(asked, 0, "ada"))[0] == 200

    assert ask(model="assistant", rater="ada")[1]["left"] == 0
    (kept,) = [each for each in cloud.feedback_items.scan()["Items"] if "metric" in each]
    assert {kept["value"]["chosen"], kept["value"]["rejected"]} == {"Hello.", "Go away."}
    assert kept["inference_id"] == own


def test_reasons_for_two_pairs_of_one_answer_are_both_kept_and_another_reason_for_one_replaces_its_first(
    ask: Any, receipt: Any, cloud: Any
) -> None:
    own = receipt("hi")
    about = {"metric_name": "comment", "inference_id": own}
    for pair, reason in (("a", "kind"), ("b", "short"), ("a", "kinder"), (None, "a comment on the answer alone")):
        tags = {"rater": "ada"} if pair is None else {"rater": "ada", "pair": pair}
        assert ask("/feedback", {**about, "value": reason, "tags": tags})[0] == 200

    kept = cloud.feedback_items.scan()["Items"]

    assert {(each["tags"].get("pair"), each["value"]) for each in kept} == {
        ("a", "kinder"),
        ("b", "short"),
        (None, "a comment on the answer alone"),
    }
    assert len({each["feedback_id"] for each in kept}) == 3


def test_personal_data_is_shown_to_nobody_and_a_label_counts_for_the_pair_it_was_given_on(
    ask: Any, put: Any, receipt: Any
) -> None:
    raw = {"answers": [{"text": "Write to bob@example.org."}, {"text": "Ask ada@example.org."}], "gold": 1}
    put(
        {"prompt": "I am eve@example.org. Who helps?", **raw, "inference_id": receipt("hi")},
        {**raw, "prompt": "b", "inference_id": receipt("b")},
    )
    asked = {each["prompt"]: each for each in ask(model="assistant", rater="ada")[1]["pairs"]}

    first = asked["I am <EMAIL_3>. Who helps?"]
    assert {each["text"] for each in first["answers"]} == {"Write to <EMAIL_2>.", "Ask <EMAIL>."}
    assert ask("/feedback", prefer(first, 0, "ada"))[0] == 200
    assert ask("/feedback", prefer(first, 1, "bo"))[0] == 200
    by_hand = {"chosen": raw["answers"][1]["text"], "rejected": raw["answers"][0]["text"]}
    body = {"metric_name": "preference", "value": by_hand, "inference_id": first["inference_id"]}
    assert ask("/feedback", {**body, "tags": {"rater": "cy"}})[0] == 200

    lefts = [ask(model="assistant", rater=rater)[1]["left"] for rater in ("ada", "bo", "cy", "di")]
    assert lefts == [1, 1, 1, 2]


def test_the_sides_are_random_and_what_is_known_of_a_pair_never_leaves(ask: Any, put: Any, pair: Any) -> None:
    put(pair("a", gold=1, chance=0.9))

    replies = [ask(model="assistant", rater=f"r{n}")[1] for n in range(40)]

    lefts = [reply["pairs"][0]["answers"][0]["text"] for reply in replies]
    assert 5 < lefts.count("Yes a") < 35
    assert {frozenset(reply["pairs"][0]) for reply in replies} == {
        frozenset({"id", "prompt", "answers", "inference_id"})
    }
    assert not any(word in json.dumps(reply) for reply in replies for word in ("gold", "chance", "0.9"))


def test_a_pair_that_cannot_be_labelled_any_more_is_not_asked_but_counted(ask: Any, put: Any, pair: Any) -> None:
    forged = pair("forged")
    forged["answers"][0]["inference_id"] += "x"
    put(pair("fresh"), pair("old", days_ago=91), pair("of another model", model="triage"), forged)

    told = ask(model="assistant", rater="ada")[1]

    assert ([each["prompt"] for each in told["pairs"]], told["left"], told["closed"]) == (["fresh"], 1, 3)


def test_pairs_come_from_all_files_of_the_model_and_a_changed_file_is_read_again(ask: Any, put: Any, pair: Any) -> None:
    put(pair("a"))
    put(pair("b"), name="more")
    put(pair("c", model="triage"), model="triage")
    first = ask(model="assistant", rater="ada")[1]

    put(pair("d"), name="more")

    second = ask(model="assistant", rater="ada")[1]
    assert [sorted(each["prompt"] for each in told["pairs"]) for told in (first, second)] == [["a", "b"], ["a", "d"]]
    assert ask(model="nobody", rater="ada")[1] == {"pairs": [], "labelled": 0, "left": 0, "closed": 0}


def test_a_line_that_is_no_pair_is_told_in_the_log_and_keeps_nobody_from_the_others(
    ask: Any, cloud: Any, pair: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(pair("a")), '{"prompt": "a secret"', json.dumps({"prompt": "b", "answers": []})]
    cloud.bucket.write("pairs/assistant/theirs.jsonl", "\n".join([*lines, json.dumps(pair("c"))]).encode())

    told = [ask(model="assistant", rater="ada")[1] for _ in range(2)][-1]

    assert sorted(each["prompt"] for each in told["pairs"]) == ["a", "c"]
    logged = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "theirs" in line]
    assert [each["why"].partition(":")[0] for each in logged] == ["line 2", "line 3"]
    assert {each["file"] for each in logged} == {"pairs/assistant/theirs.jsonl"}
    assert "secret" not in json.dumps(logged)


def test_of_a_file_with_too_many_pairs_the_first_are_offered(
    ask: Any, cloud: Any, pair: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    line = json.dumps(pair("a")).encode()
    cloud.bucket.write("pairs/assistant/theirs.jsonl", b"\n".join([line] * 2_001))

    assert ask(model="assistant", rater="ada")[1]["left"] == 1
    assert "2001 pairs: only the first 2000 are offered" in capsys.readouterr().out


@pytest.mark.parametrize("query", [{"model": "assistant"}, {"rater": "ada"}, {"model": "../x", "rater": "ada"}])
def test_who_and_which_model_must_be_told(query: dict[str, str], ask: Any) -> None:
    status, told = ask(**query)

    assert (status, list(told)) == (400, ["error"])
    assert "query." in told["error"]


def test_no_more_pairs_are_sent_than_asked_for(ask: Any, put: Any, pair: Any) -> None:
    put(*(pair(f"p{n}") for n in range(30)))

    assert len(ask(model="assistant", rater="ada")[1]["pairs"]) == 10
    assert len(ask(model="assistant", rater="ada", count="3")[1]["pairs"]) == 3
    assert ask(model="assistant", rater="ada", count="21")[0] == 400
