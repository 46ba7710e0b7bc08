import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pawl.errors import TooBusy
from pawl.opinions import Opinions, Piece

NOW = 1_700_000_000_000


def piece(number: int = 0, teaches: bool = True) -> Piece:
    answer = f"018bcfe568007000800000000000{number:04d}"
    return Piece("triage", "1", answer, "label", "ada", NOW, teaches, {"metric": "label", "value": ["billing"]})


def cancelled(*reasons: str) -> ClientError:
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(response, "TransactWriteItems")


def failed(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "PutItem")


class Table:
    """A DynamoDB client that answers as it is told to, and remembers the writes that were asked of it."""

    def __init__(self, *answers: ClientError | None) -> None:
        self.answers = list(answers)
        self.writes: list[list[str]] = []

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> None:
        self._answer([_condition(action) for action in TransactItems])

    def put_item(self, **put: Any) -> None:
        self._answer([_condition({"Put": put})])

    def update_item(self, **update: Any) -> None:
        self._answer([_condition({"Update": update})])

    def _answer(self, writes: list[str]) -> None:
        self.writes.append(writes)
        if self.answers and (error := self.answers.pop(0)):
            raise error


def _condition(action: dict[str, Any]) -> str:
    if "Update" in action:
        update = action["Update"]
        if update["UpdateExpression"].startswith("ADD"):
            return f"count {update['ExpressionAttributeValues'][':number']['N']}"
        return "again" if update["ConditionExpression"].startswith("digest =") else "newer"
    assert action["Put"]["ConditionExpression"].startswith("attribute_not_exists(pk)")
    return "new"


@pytest.fixture
def store() -> Callable[..., tuple[Table, list[float]]]:
    """Stores pieces in a table that answers as told; the table, and the pauses that were made."""

    def run(pieces: list[Piece], *answers: ClientError | None) -> tuple[Table, list[float]]:
        random.seed(7)
        table, pauses = Table(*answers), list[float]()
        client: Any = table
        Opinions(client, "feedback", pauses.append).store(pieces, NOW)
        return table, pauses

    return run


Store = Callable[..., tuple[Table, list[float]]]


def test_pieces_that_teach_are_written_and_counted_together(store: Store) -> None:
    table, _ = store([piece(1), piece(2), piece(3, teaches=False)])

    assert table.writes == [["new", "new", "new", "count 2"]]


def test_one_that_does_not_teach_needs_no_transaction(store: Store) -> None:
    table, _ = store([piece(teaches=False)])

    assert table.writes == [["new"]]


def test_what_is_there_already_is_replaced_and_not_counted(store: Store) -> None:
    table, pauses = store([piece(1), piece(2)], cancelled("None", "ConditionalCheckFailed", "None"))

    assert table.writes == [["new", "new", "count 2"], ["new", "newer", "count 1"]]
    assert pauses == []


def test_what_was_said_later_is_left_as_it_is(store: Store) -> None:
    gone = cancelled("ConditionalCheckFailed", "ConditionalCheckFailed", "None")
    lost = cancelled("ConditionalCheckFailed", "None")
    alone = failed("ConditionalCheckFailedException")
    table, pauses = store([piece(1), piece(2)], gone, lost, lost, alone)

    assert table.writes[:3] == [["new", "new", "count 2"], ["newer", "newer"], ["again", "newer"]]
    assert table.writes[3:] == [["newer"], ["again"]]
    assert pauses == []


def test_writers_that_collide_try_again_after_longer_and_longer_pauses(store: Store) -> None:
    collided = cancelled("None", "TransactionConflict")
    table, pauses = store([piece()], collided, collided, collided)

    assert table.writes == [["new", "count 1"]] * 4
    assert len(pauses) == 3
    assert all(0 <= pause <= 0.02 * 2**n for n, pause in enumerate(pauses))
    assert len(set(pauses)) == 3


def test_a_single_write_that_collides_with_a_transaction_is_tried_again(store: Store) -> None:
    table, pauses = store([piece(teaches=False)], failed("TransactionConflictException"))

    assert table.writes == [["new"], ["new"]]
    assert len(pauses) == 1


def test_writers_that_collide_for_ever_are_told_to_come_back(store: Store) -> None:
    with pytest.raises(TooBusy, match="send it again"):
        store([piece()], *[cancelled("None", "TransactionConflict")] * 8)


@pytest.mark.parametrize(
    "error",
    [
        cancelled("ProvisionedThroughputExceeded", "None"),
        cancelled("ValidationError", "ConditionalCheckFailed"),
        failed("AccessDeniedException"),
    ],
    ids=["throttled", "invalid", "forbidden"],
)
def test_a_failure_that_says_nothing_of_the_piece_is_no_success(error: ClientError, store: Store) -> None:
    with pytest.raises(ClientError):
        store([piece()], error)


def test_a_cancelled_transaction_without_reasons_is_no_success(store: Store) -> None:
    with pytest.raises(ValueError, match="shorter"):
        store([piece()], cancelled())


def test_of_two_words_in_one_delivery_the_later_counts(store: Store) -> None:
    table, _ = store([piece(), piece()])

    assert table.writes == [["new", "count 1"]]


def test_a_transaction_holds_no_more_than_it_may(store: Store) -> None:
    table, _ = store([piece(number) for number in range(60)])

    assert [len(writes) for writes in table.writes] == [26, 26, 11]
