"""The once-only ledger: which deliveries have been dealt with."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.items import attributes, from_item, require_lost_condition, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.service_resource import Table

_KEYS_A_READ = 100
_INSERTS_A_CALL = 25


class Ledger:
    """Which deliveries have been dealt with, so that a second delivery of the same thing changes nothing.

    A claim names the piece of work that deals with the key. Whoever finds a foreign claim asks whether that work was
    finished; when it was not, the claimant died between claiming and finishing and the key may be taken over.

    Only `claim_new` needs `client`, which is one that knows no resources: what those do to each item takes longer than
    all else that `drift.collect` does.
    """

    def __init__(self, table: "Table", scope: str, keep_days: int = 15, client: "DynamoDBClient | None" = None) -> None:
        self._table = table
        self._client = client
        self._scope = scope
        self._keep_s = keep_days * 86_400

    def claim(self, key: str, work: str, now_ms: int, note: Mapping[str, Any] | None = None) -> tuple[str, int]:
        """Claim `key` for `work`; returns the work that holds it (`work` itself or an earlier one) and since when.

        A `note` is kept with the claim, as long as that is.
        """
        try:
            self._put(key, work, now_ms, "attribute_not_exists(pk) OR #work = :work", {":work": work}, note)
        except ClientError as error:
            require_lost_condition(error)
            item = from_item(self._table.get_item(Key=self._key(key), ConsistentRead=True).get("Item", {}))
            return item.get("work", work), item.get("claimed_ms", now_ms)
        return work, now_ms

    def claim_new(self, notes: Mapping[str, Mapping[str, Any] | None], work: str, now_ms: int) -> set[str]:
        """Claim for `work` those of the keys, each with its note, that have no claim; which those were.

        A call inserts 25 of them. Of the others it tells nothing: for them, and for any that it could not write, there
        is `claim`, which raises what must be raised. They may be claimed by `work` already, by a call whose answer was
        lost.
        """
        found = set[str]()
        keys = list(notes) if self._client else []
        for start in range(0, len(keys), _INSERTS_A_CALL):
            part = keys[start : start + _INSERTS_A_CALL]
            found |= self._inserted({key: notes[key] for key in part}, work, now_ms)
        return found

    def take_over(self, key: str, work: str, held_by: str, now_ms: int, note: Mapping[str, Any] | None = None) -> bool:
        """Move the claim from unfinished work to `work`; False when somebody else just did."""
        try:
            self._put(key, work, now_ms, "#work = :held", {":held": held_by}, note)
        except ClientError as error:
            require_lost_condition(error)
            return False
        return True

    def notes(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The notes of the claims that were made with one, by key."""
        found: dict[str, dict[str, Any]] = {}
        wanted = [self._key(key) for key in sorted(set(keys))]
        while wanted:
            asked, wanted = wanted[:_KEYS_A_READ], wanted[_KEYS_A_READ:]
            reply = self._table.meta.client.batch_get_item(RequestItems={self._table.name: {"Keys": asked}})
            for item in reply["Responses"].get(self._table.name, []):
                body = from_item(item)
                if "note" in body:
                    found[body["sk"]] = body["note"]
            wanted += [dict(key) for key in reply["UnprocessedKeys"].get(self._table.name, {}).get("Keys", [])]  # type: ignore[misc]
        return found

    def _put(
        self,
        key: str,
        work: str,
        now_ms: int,
        condition: str,
        values: Mapping[str, str],
        note: Mapping[str, Any] | None,
    ) -> None:
        self._table.put_item(
            Item=to_item(self._item(key, work, now_ms, note)),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#work": "work"},
            ExpressionAttributeValues=dict(values),
        )

    def _inserted(self, notes: Mapping[str, Mapping[str, Any] | None], work: str, now_ms: int) -> set[str]:
        """Which keys one call could insert: DynamoDB tells for each statement whether it failed, in their order."""
        assert self._client is not None
        items = [self._item(key, work, now_ms, note) for key, note in notes.items()]
        try:
            reply = self._client.batch_execute_statement(
                Statements=[
                    {"Statement": self._insert(item), "Parameters": list(attributes(item).values())} for item in items
                ]
            )
        except ClientError:
            return set()
        told = zip(notes, reply["Responses"], strict=True)
        return {key for key, each in told if "Error" not in each}

    def _insert(self, names: Iterable[str]) -> str:
        """An item as PartiQL inserts it; one with these keys that is there already makes it fail."""
        values = ", ".join(f"'{name}': ?" for name in names)
        return f'INSERT INTO "{self._table.name}" VALUE {{{values}}}'

    def _item(self, key: str, work: str, now_ms: int, note: Mapping[str, Any] | None) -> dict[str, Any]:
        claim = {**self._key(key), "work": work, "claimed_ms": now_ms, "expires_at": now_ms // 1000 + self._keep_s}
        return {**claim, "note": note} if note else claim

    def _key(self, key: str) -> dict[str, str]:
        return {"pk": f"once#{self._scope}", "sk": key}
