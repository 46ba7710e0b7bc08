"""Delivery with senders that keep what they are given, and the queue's sender with a client that refuses."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from inference.delivery import Delivery, QueueSender, message_body, print_metric
from pawl.records import CaptureRecord

LARGEST = 1_048_576


class Outbox:
    """A fake sender: keeps each call's bodies and refuses what `refuse` picks from those of its n-th call."""

    def __init__(self, refuse: Callable[[int, Sequence[str]], Sequence[str]] = lambda call, bodies: []) -> None:
        self.calls: list[list[str]] = []
        self._refuse = refuse

    def __call__(self, bodies: Sequence[str]) -> Sequence[str]:
        self.calls.append(list(bodies))
        return self._refuse(len(self.calls), bodies)


class World:
    """What a delivery did: pauses taken, metrics reported; `is_hurried` ends its patience."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.metrics: list[tuple[str, int]] = []
        self.reasons: list[str] = []
        self.is_hurried = False

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.is_hurried

    def report(self, metric: str, count: int, reason: str) -> None:
        self.metrics.append((metric, count))
        self.reasons.append(reason)


@pytest.fixture
def world() -> World:
    return World()


def _refuse_all(call: int, bodies: Sequence[str]) -> Sequence[str]:
    return bodies


def test_bodies_go_ten_at_a_time(world: World) -> None:
    outbox = Outbox()

    Delivery(outbox, None, world.report)([str(n) for n in range(23)])

    assert [len(call) for call in outbox.calls] == [10, 10, 3]
    assert [body for call in outbox.calls for body in call] == [str(n) for n in range(23)]
    assert world.metrics == []


def test_one_call_carries_no_more_than_any_queue_takes_at_once(world: World) -> None:
    outbox = Outbox()
    sizes = [131_072, 131_072, 1, 262_145, 10]

    Delivery(outbox, None, world.report)(["x" * size for size in sizes])

    assert [[len(body) for body in call] for call in outbox.calls] == [[131_072, 131_072], [1], [262_145], [10]]


@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f4a1"], ids=["1 byte", "2 bytes", "4 bytes"])
def test_a_body_larger_than_a_message_may_be_is_lost_at_once_and_the_others_are_sent(world: World, letter: str) -> None:
    outbox, most = Outbox(), LARGEST // len(letter.encode())

    Delivery(outbox, Outbox(), world.report)([letter * (most + 1), letter * most, "b"])

    assert [[len(body) for body in call] for call in outbox.calls] == [[most], [1]]
    assert (world.metrics, world.reasons) == ([("CaptureLost", 1)], ["larger than a message may be"])


def test_what_was_refused_is_sent_again_after_a_pause_and_nothing_else(world: World) -> None:
    outbox = Outbox(lambda call, bodies: bodies[:2] if call == 1 else [])

    Delivery(outbox, None, world.report, world.pause)(["a", "b", "c"])

    assert outbox.calls == [["a", "b", "c"], ["a", "b"]]
    assert (world.pauses, world.metrics) == ([0.1], [])


def test_after_three_attempts_the_same_bodies_are_spilled_and_counted(world: World) -> None:
    outbox, dead = Outbox(_refuse_all), Outbox()

    Delivery(outbox, dead, world.report, world.pause)(["a", "b"])

    assert outbox.calls == [["a", "b"]] * 3
    assert dead.calls == [["a", "b"]]
    assert (world.pauses, world.metrics) == ([0.1, 0.4], [("CaptureSpilled", 2)])


def test_what_the_dead_letters_refuse_as_well_is_lost_and_counted_apart(world: World) -> None:
    dead = Outbox(lambda call, bodies: bodies[1:])

    Delivery(Outbox(_refuse_all), dead, world.report, world.pause)(["a", "b", "c"])

    assert world.metrics == [("CaptureSpilled", 1), ("CaptureLost", 2)]


def test_without_dead_letters_what_the_queue_refuses_is_lost(world: World) -> None:
    Delivery(Outbox(_refuse_all), None, world.report, world.pause)(["a"])

    assert world.metrics == [("CaptureLost", 1)]


def test_a_queue_that_is_down_is_tried_once_a_batch_until_it_answers_again(world: World) -> None:
    outbox, dead = Outbox(lambda call, bodies: bodies if call <= 5 else []), Outbox()
    delivery = Delivery(outbox, dead, world.report, world.pause)

    for body in "abcd":
        delivery([body])

    assert outbox.calls == [["a"], ["a"], ["a"], ["b"], ["c"], ["d"]]
    assert dead.calls == [["a"], ["b"], ["c"]]
    outbox._refuse = _refuse_all
    delivery(["e"])
    assert outbox.calls[6:] == [["e"]] * 3


def test_a_hurried_delivery_tries_once_and_spills(world: World) -> None:
    outbox, dead = Outbox(_refuse_all), Outbox()
    delivery = Delivery(outbox, dead, world.report)

    delivery.hurry()
    delivery(["a"])

    assert (outbox.calls, dead.calls) == ([["a"]], [["a"]])


def test_senders_that_raise_lose_nothing_uncounted(world: World) -> None:
    def fail(bodies: Sequence[str]) -> Sequence[str]:
        raise ImportError("no SDK here")

    Delivery(fail, fail, world.report, world.pause)(["a", "b"])

    assert world.metrics == [("CaptureLost", 2)]


@pytest.mark.parametrize("odd", ["\ud800", "\udfff", "\ufffe", "\uffff"], ids=ascii)
def test_a_character_that_no_message_may_hold_travels_escaped(captured: Callable[..., CaptureRecord], odd: str) -> None:
    record = captured(inputs={"text": [f"light {odd} äöü \U0001f4a1 \n"]})

    body = message_body(record)

    assert odd not in body
    assert "äöü \U0001f4a1" in body
    assert CaptureRecord.from_dict(json.loads(body.encode())) == record


def test_records_are_counted_in_a_line_of_the_embedded_metric_format(capsys: pytest.CaptureFixture[str]) -> None:
    print_metric("inference-1", "CaptureLost", 3, "the queue is down")

    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert line[metric["Name"]] == 3
    assert (directive["Namespace"], directive["Dimensions"], metric["Name"]) == ("Pawl", [["function"]], "CaptureLost")
    assert (line["function"], line["reason"]) == ("inference-1", "the queue is down")
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000


class FakeQueue:
    """The part of an SQS client that the sender uses: refuses the bodies named, or fails."""

    def __init__(self, refused: Sequence[str] = (), error: Exception | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self._refused = refused
        self._error = error

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if self._error:
            raise self._error
        failed = [{"Id": each["Id"]} for each in request["Entries"] if each["MessageBody"] in self._refused]
        return {"Failed": failed} if failed else {}


def test_the_sender_returns_the_bodies_that_the_queue_refused() -> None:
    fake = FakeQueue(refused=["b", "d"])

    assert QueueSender("https://queue", lambda: fake)(["a", "b", "c", "d"]) == ["b", "d"]
    (request,) = fake.requests
    assert request["QueueUrl"] == "https://queue"
    assert [each["MessageBody"] for each in request["Entries"]] == ["a", "b", "c", "d"]
    assert len({each["Id"] for each in request["Entries"]}) == 4


def test_the_sender_returns_nothing_when_all_were_accepted_and_keeps_its_client() -> None:
    made: list[FakeQueue] = []

    def connect() -> FakeQueue:
        made.append(FakeQueue())
        return made[-1]

    sender = QueueSender("https://queue", connect)

    assert [sender(["a", "b"]), sender(["c"])] == [[], []]
    assert [len(fake.requests) for fake in made] == [2]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException"}}, "SendMessageBatch"),
        ConnectTimeoutError(endpoint_url="https://queue"),
    ],
    ids=["refused", "not reached"],
)
def test_the_sender_returns_every_body_when_the_call_fails(error: Exception) -> None:
    assert QueueSender("https://queue", lambda: FakeQueue(error=error))(["a", "b"]) == ["a", "b"]
