"""Writes feedback: durable in one call without a look-up, and counted toward a training in that very call.

Items of the feedback table (`pk`, `sk`), beside those that `pawl.feedback.FeedbackTable` reads:

    <model>#<day of the answer>   <answer>#<metric>#<rater>    one piece; a rater's later word takes its place
    counts                        <model>#<version>            how many pieces taught, each rater and answer once
    requests                      <client>#<digest of a key>   a request that came with an Idempotency-Key
    announced                     <id of an event>             a threshold of `counts` that was announced
    compared/<model>              <answer>#<metric>#<rater>    which answer a preference is for, see `feedback.tally`

A piece that teaches is put where none was counted and counted in one transaction, so neither a second delivery nor a
writer at the same moment can count it twice, and no crash can keep it uncounted. A piece that teaches nothing is marked
`uncounted`, until one that teaches takes its place, as a correction of another output does: items without the mark are
never counted again. No word takes the place of one that was said later: what is delivered again long after changes
nothing. The same word said anew only moves the time at which it was said, so that no word from in between takes its
place.
"""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.errors import KeyReused, TooBusy
from pawl.identity import day_of, isoformat, unix_ms_of
from pawl.items import attributes, error_code, require_lost_condition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

COUNTS = "counts"
TOGETHER = 25
"""So many pieces in one transaction, which may hold 4 MiB."""
_KEEP_KEY_S = 86_400
_TRIES = 8
_FIRST_PAUSE_S = 0.02
_FIRST_TO_TEACH = "attribute_not_exists(pk) OR (attribute_exists(uncounted) AND said_ms <= :said_ms)"
_NONE_TAUGHT = "attribute_not_exists(pk) OR (attribute_exists(uncounted) AND digest <> :digest AND said_ms <= :said_ms)"
_NEWER = "attribute_not_exists(said_ms) OR (digest <> :digest AND said_ms <= :said_ms)"
_SAME = "digest = :digest AND said_ms < :said_ms"
_NOT_IN_ALL = ("inference_id", "episode_id", "subjects")
"""What items may lack; each lacks one of the two ids."""


class Way(Enum):
    """How a piece is written: each way where what the one before it needs is not so."""

    NEW = "put where none is that was counted, or said later; counted if it teaches, and else marked"
    NEWER = "put in the place of another word that was not said later; whether it counted stays as it is"
    AGAIN = "the same word, said once more"

    @property
    def next(self) -> "Way | None":
        """The way to try when this one's condition was lost; None where nothing is left to do."""
        return {Way.NEW: Way.NEWER, Way.NEWER: Way.AGAIN}.get(self)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one rater said of one answer, or episode, in one metric.

    `answer` is its UUIDv7; `about` the metric, and what else tells it from others of that rater; `said_ms` when it was
    said, which is not when it is written where a file or a queue came between; `body` holds the rest, as JSON has it;
    `subjects` are what captured answers call whom it names, by each key, so that both are known for one person.
    """

    model: str
    version: str
    answer: str
    about: str
    rater: str
    said_ms: int
    teaches: bool
    body: Mapping[str, Any] = field(hash=False)
    subjects: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """The keys of its item."""
        return f"{self.model}#{day_of(unix_ms_of(self.answer))}", f"{self.answer}#{self.about}#{self.rater}"


class Opinions:
    """The feedback table, for writing."""

    def __init__(self, client: "DynamoDBClient", table: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def store(self, pieces: Sequence[Piece], now_ms: int) -> None:
        """Store pieces durably and count those that teach; each only once, however often it comes.

        TooBusy when others write the same at the same time, again and again; a part may then be stored, and to store
        all of it once more is safe.
        """
        latest = list({piece.key: piece for piece in pieces}.values())
        for start in range(0, len(latest), TOGETHER):
            self._store_together(latest[start : start + TOGETHER], now_ms)

    def first_sent_ms(self, client: str, key: str, body: str, now_ms: int) -> int:
        """When a request with this Idempotency-Key was first sent, now or in the last day.

        KeyReused when it was another request.
        """
        where = attributes({"pk": "requests", "sk": f"{client}#{_digest(key)}"})
        about = {"digest": _digest(body), "sent_ms": now_ms, "expires_at": now_ms // 1000 + _KEEP_KEY_S}
        try:
            self._client.put_item(
                TableName=self._table,
                Item={**where, **attributes(about)},
                ConditionExpression="attribute_not_exists(pk) OR expires_at < :now",
                ExpressionAttributeValues=attributes({":now": now_ms // 1000}),
            )
        except ClientError as error:
            require_lost_condition(error)
            before = self._client.get_item(TableName=self._table, Key=where, ConsistentRead=True).get("Item", {})
            if before.get("digest") != {"S": about["digest"]}:
                raise KeyReused("this Idempotency-Key came with another body before: take a new key") from error
            return int(before["sent_ms"].get("N", now_ms))
        return now_ms

    def _store_together(self, pieces: Sequence[Piece], now_ms: int) -> None:
        waiting = [(piece, Way.NEW) for piece in pieces]
        for attempt in range(_TRIES):
            waiting, is_contended = self._attempt(waiting, now_ms)
            if not waiting:
                return
            if is_contended:  # jitter: writers that collided must not meet again
                self._pause(_FIRST_PAUSE_S * 2**attempt * random.random())
        raise TooBusy("others write the same feedback at this moment: send it again")

    def _attempt(self, waiting: "Waiting", now_ms: int) -> tuple["Waiting", bool]:
        """Write pieces, each in its way; what is left to do, and whether others wrote the same at that moment."""
        writes = [_write(self._table, piece, way, now_ms) for piece, way in waiting]
        counts = Counter((piece.model, piece.version) for piece, way in waiting if way is Way.NEW and piece.teaches)
        if len(writes) == 1 and not counts:  # half the price of a transaction
            try:
                self._write_alone(writes[0])
            except ClientError as error:
                if error_code(error) == "TransactionConflictException":
                    return waiting, True
                require_lost_condition(error)
                return _left(waiting, ["ConditionalCheckFailed"])
            return [], False
        actions = [*writes, *(_add(self._table, *of, number) for of, number in counts.items())]
        try:
            self._client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            return _left(waiting, _reasons(error))
        return [], False

    def _write_alone(self, action: Any) -> None:
        if "Put" in action:
            self._client.put_item(**action["Put"])
        else:
            self._client.update_item(**action["Update"])


Waiting = list[tuple[Piece, Way]]


def _left(waiting: Waiting, reasons: Sequence[str]) -> tuple[Waiting, bool]:
    """What is left to do where writes were refused: each whose condition was lost in the next way, if there is one."""
    left = list[tuple[Piece, Way]]()
    for (piece, way), reason in zip(waiting, reasons[: len(waiting)], strict=True):
        then = way.next if reason == "ConditionalCheckFailed" else way
        left += [(piece, then)] if then else []
    return left, not any(reason == "ConditionalCheckFailed" for reason in reasons)


def _reasons(error: ClientError) -> list[str]:
    """Why each action of a transaction failed, None where it did not; raises what no other try could mend."""
    if error_code(error) != "TransactionCanceledException":
        raise error
    reasons = [str(each.get("Code", "None")) for each in error.response.get("CancellationReasons", [])]
    if not set(reasons) - {"None"} <= {"ConditionalCheckFailed", "TransactionConflict"}:
        raise error
    return reasons


def _write(table: str, piece: Piece, way: Way, now_ms: int) -> Any:
    """The action of a transaction that writes a piece in this way."""
    pk, sk = piece.key
    where = {"pk": pk, "sk": sk}
    digest = _digest(json.dumps(piece.body, sort_keys=True))
    said = {":said_ms": piece.said_ms}
    word = {":digest": digest, **said}
    if way is Way.AGAIN:
        return _update(table, where, "SET said_ms = :said_ms", word, ConditionExpression=_SAME)
    about = {"said_ms": piece.said_ms, "digest": digest, "given_at": isoformat(now_ms)}
    about |= {"subjects": list(piece.subjects)} if piece.subjects else {}
    item = {**piece.body, "model_version": piece.version, **about}
    if way is Way.NEWER:  # the mark is left alone: whether it is there may change until this is written
        gone = [name for name in _NOT_IN_ALL if name not in item]
        change = (
            f"SET {', '.join(f'#{name} = :{name}' for name in item)} REMOVE {', '.join(f'#{name}' for name in gone)}"
        )
        names = {f"#{name}": name for name in [*item, *gone]}
        values = {f":{name}": value for name, value in item.items()}
        return _update(table, where, change, values, ConditionExpression=_NEWER, ExpressionAttributeNames=names)
    if piece.teaches:
        wanted, values = _FIRST_TO_TEACH, said
    else:
        item["uncounted"] = True
        wanted, values = _NONE_TAUGHT, word
    put = {"Item": attributes({**where, **item}), "ConditionExpression": wanted}
    return {"Put": {"TableName": table, **put, "ExpressionAttributeValues": attributes(values)}}


def _update(table: str, where: Mapping[str, str], change: str, values: Mapping[str, Any], **more: Any) -> Any:
    """The action that changes an item in place."""
    about = {"UpdateExpression": change, "ExpressionAttributeValues": attributes(values), **more}
    return {"Update": {"TableName": table, "Key": attributes(where), **about}}


def _add(table: str, model: str, version: str, number: int) -> Any:
    """The action that adds to a counter."""
    where = {"pk": COUNTS, "sk": f"{model}#{version}"}
    return _update(table, where, "ADD taught :number", {":number": number})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
