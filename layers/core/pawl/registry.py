"""Which versions of a model exist, which one is live, and which runs made them: the loop's memory.

Items of the state table (`pk`, `sk`):

    models         <name>                 the live pointer: version, function version, layer, and what was live before
    model#<name>   version#<9 digits>     a version: its state, digest, lineage, gate results
    model#<name>   incident#<version>     the last drift of that version, open unless it has `closed_at`
    model#<name>   labels#<version>       what drift checks remember of late labels
    columns        <name>#<version>       what the columns of its dropped traffic hold, names or numbers
    late           <name>#<version>#<day> that rows of this day came when it was long over, until a check has judged it
    elsewhere      <name>                 a model that is served elsewhere: the version of its newest traffic
    model#<name>   active-run             the one training run under way
    model#<name>   postponed-feedback     that enough was said to learn from while no run could begin
    model#<name>   rollback#<version>     that its canary took it back: an incident, open unless it has `closed_at`
    canary         active                 the one canary of the deployment, see `release.trial`
    canary         waiting#<name>#<9 digits>  a candidate that waits until that has ended
    canary         shadow#<minute>        how many copies of traffic the candidate was sent in that minute
    leases         * or <name>            until when somebody changes what is live, see `release_lease`
    runs           <run id>               a training run as the job API shows it
    counters       <name>                 the newest version number given out
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.bucket import Bucket
from pawl.bundle import MANIFEST, Manifest, parse_manifest
from pawl.errors import Conflict, NotFound
from pawl.identity import day_of, unix_ms_of
from pawl.items import from_item, query_all, require_lost_condition, to_item
from pawl.profile import Profile
from pawl.versions import Elsewhere, Live, VersionRecord, vars_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

REFERENCE = "reference.json"
SERVED = "*"
"""The lease on all models that are served: one alias answers with them."""
RELEASE_LEASE_MS = 180_000
_SETTLING_TRIES = 20
_NOTED_S = 30 * 86_400
_CANARY = ("canary", "active")


class Registry:
    """The versions, pointers and runs of all models."""

    def __init__(self, table: "Table", bucket: Bucket) -> None:
        self._table = table
        self._bucket = bucket

    def models(self) -> list[str]:
        """The names of all registered models."""
        return [str(item["sk"]) for item in query_all(self._table, "models")]

    def live(self, model: str) -> Live:
        """The live pointer of a model; NotFound when no version was ever registered."""
        item = self._get("models", model)
        if item is None:
            raise NotFound(f"no model {model!r} is registered: run scripts/pawl seed once after the first deployment")
        return Live(**_fields(item, Live))

    def move_live(self, pointer: Live, expected_version: str | None) -> bool:
        """Set the live pointer if it still points at `expected_version` (None: nowhere); False when it does not."""
        condition = "attribute_not_exists(pk)" if expected_version is None else "version = :expected"
        values = {} if expected_version is None else {"ExpressionAttributeValues": {":expected": expected_version}}
        return self._put("models", pointer.model, vars_of(pointer), ConditionExpression=condition, **values)

    def next_version(self, model: str) -> str:
        """A version number never given out before."""
        reply = self._table.update_item(
            Key={"pk": "counters", "sk": model},
            UpdateExpression="ADD latest :one",
            ExpressionAttributeValues={":one": 1},
            ReturnValues="UPDATED_NEW",
        )
        return str(reply["Attributes"]["latest"])  # pyright: ignore[reportTypedDictNotRequiredAccess]

    def count_versions_from(self, model: str, version: str) -> None:
        """Let the next version number be the one after `version`, unless a number was given out already."""
        self._put("counters", model, {"latest": int(version)}, ConditionExpression="attribute_not_exists(pk)")

    def record_version(self, record: VersionRecord) -> None:
        """Store what is known of a version."""
        self._put(f"model#{record.model}", _version_key(record.version), vars_of(record))

    def version(self, model: str, version: str) -> VersionRecord | None:
        """What is known of a version; None when it was never recorded."""
        item = self._get(f"model#{model}", _version_key(version))
        return VersionRecord(**_fields(item, VersionRecord)) if item else None

    def versions(self, model: str) -> list[VersionRecord]:
        """All versions of a model, oldest first."""
        items = query_all(self._table, f"model#{model}", "version#")
        return [VersionRecord(**_fields(item, VersionRecord)) for item in items]

    def manifest(self, model: str, version: str) -> Manifest:
        """The manifest of a registered version."""
        return parse_manifest(self._bucket.read(f"models/{model}/{version}/{MANIFEST}"))

    def reference(self, model: str, version: str) -> Profile | None:
        """The reference profile of a version; None when it came without one, NotFound when there is no such version."""
        if REFERENCE not in self.manifest(model, version).files:
            return None
        return Profile.from_json(self._bucket.read(f"models/{model}/{version}/{REFERENCE}"))

    def models_elsewhere(self) -> list[str]:
        """The names of the models that are served elsewhere, and only watched here."""
        return [str(item["sk"]) for item in query_all(self._table, "elsewhere")]

    def elsewhere(self, model: str) -> Elsewhere | None:
        """What is known of a model that is served elsewhere; None when nothing ever came of it."""
        item = self._get("elsewhere", model)
        return Elsewhere(model, item["version"], item["newest_ms"]) if item else None

    def see_elsewhere(self, seen: Elsewhere) -> bool:
        """Note a version's newest row, unless a newer one of the model is known; whether it was noted."""
        return self._put(
            "elsewhere",
            seen.model,
            vars_of(seen),
            ConditionExpression="attribute_not_exists(pk) OR newest_ms < :newest",
            ExpressionAttributeValues={":newest": seen.newest_ms},
        )

    def column_kinds(self, model: str, version: str) -> dict[str, str]:
        """What `settle_columns` knows so far."""
        item = self._get("columns", f"{model}#{version}")
        return dict(item["kinds"]) if item else {}

    def settle_columns(self, model: str, version: str, found: Mapping[str, str]) -> dict[str, str]:
        """What each column of a version holds; the first word on it counts, whoever else says one at the same time."""
        for _ in range(_SETTLING_TRIES):
            known = self.column_kinds(model, version)
            kinds = {**found, **known}
            if len(kinds) == len(known) or self._put(
                "columns",
                f"{model}#{version}",
                {"kinds": kinds, "number": len(kinds)},
                ConditionExpression="attribute_not_exists(pk) OR #number = :known",
                ExpressionAttributeNames={"#number": "number"},
                ExpressionAttributeValues={":known": len(known)},
            ):
                return kinds
        raise Conflict(f"other files of {model} {version} bring new columns all the time: try again")

    def open_incident(self, model: str, version: str, body: Mapping[str, Any]) -> bool:
        """Open a drift incident of a version in the place of its last one; False while that is open."""
        condition = "attribute_not_exists(pk) OR attribute_exists(closed_at)"
        return self._put(f"model#{model}", f"incident#{version}", body, ConditionExpression=condition)

    def update_incident(self, model: str, version: str, body: Mapping[str, Any]) -> bool:
        """Replace the open incident of a version, and end it with `closed_at`; False when none is open."""
        condition = "attribute_exists(pk) AND attribute_not_exists(closed_at)"
        return self._put(f"model#{model}", f"incident#{version}", body, ConditionExpression=condition)

    def incident(self, model: str, version: str) -> dict[str, Any] | None:
        """The open drift incident of a version, if there is one."""
        last = self._get(f"model#{model}", f"incident#{version}")
        return None if last is None or "closed_at" in last else last

    def incidents(self, model: str) -> dict[str, dict[str, Any]]:
        """The last incident of each version that had one, open or not, by version."""
        items = query_all(self._table, f"model#{model}", "incident#")
        return {str(item["sk"]).partition("#")[2]: item for item in items}

    def label_state(self, model: str, version: str) -> dict[str, Any] | None:
        """What drift checks remember of a version's late labels."""
        return self._get(f"model#{model}", f"labels#{version}")

    def keep_label_state(self, model: str, version: str, body: Mapping[str, Any], expected_until: str) -> bool:
        """Replace it if it still ends at `expected_until` (empty: there was none); False when it does not."""
        return self._put(
            f"model#{model}",
            f"labels#{version}",
            body,
            ConditionExpression="attribute_not_exists(pk) OR #until = :expected",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":expected": expected_until},
        )

    def note_late(self, model: str, version: str, batch: str, now_ms: int) -> None:
        """Note that a batch's rows came late, for the day that it began in to be judged once more."""
        key = f"{model}#{version}#{day_of(unix_ms_of(batch[:32]))}"
        self._put("late", key, {"batch": batch, "expires_at": now_ms // 1000 + _NOTED_S})

    def late_days(self, model: str, version: str) -> dict[str, str]:
        """The days that a check is to judge once more, oldest first, and which batch was the last to be late."""
        items = query_all(self._table, "late", f"{model}#{version}#")
        return {str(item["sk"]).rpartition("#")[2]: str(item["batch"]) for item in items}

    def forget_late(self, model: str, version: str, day: str, batch: str) -> None:
        """A day was judged; if another batch has come for it meanwhile, it is to be judged again."""
        try:
            self._table.delete_item(
                Key={"pk": "late", "sk": f"{model}#{version}#{day}"},
                ConditionExpression="#batch = :batch",
                ExpressionAttributeNames={"#batch": "batch"},
                ExpressionAttributeValues={":batch": batch},
            )
        except ClientError as error:
            require_lost_condition(error)

    def canary(self) -> dict[str, Any] | None:
        """The canary under way, of whatever model: an alias shares its traffic between two versions at most."""
        return self._get(*_CANARY)

    def keep_canary(self, body: Mapping[str, Any], expected_number: int | None) -> bool:
        """Replace the canary if it is still in the state by that number (None: there is none); False when it is not."""
        if expected_number is None:
            return self._put(*_CANARY, body, ConditionExpression="attribute_not_exists(pk)")
        return self._put(
            *_CANARY,
            body,
            ConditionExpression="#number = :number",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":number": expected_number},
        )

    def end_canary(self, model: str, version: str) -> None:
        """Forget the canary of a version, unless another one has begun already."""
        try:
            self._table.delete_item(
                Key=dict(zip(("pk", "sk"), _CANARY, strict=True)),
                ConditionExpression="model = :model AND version = :version",
                ExpressionAttributeValues={":model": model, ":version": version},
            )
        except ClientError as error:
            require_lost_condition(error)

    def let_wait(self, model: str, version: str) -> None:
        """Note that a candidate waits until no canary is under way."""
        self._put("canary", _waiting_key(model, version), {"model": model, "version": version})

    def waiting(self) -> list[tuple[str, str]]:
        """The candidates that wait, as (model, version), by model and oldest first."""
        items = query_all(self._table, "canary", "waiting#")
        return [(item["model"], item["version"]) for item in items]

    def wait_no_longer(self, model: str, version: str) -> None:
        """Forget that a candidate waits."""
        self._table.delete_item(Key={"pk": "canary", "sk": _waiting_key(model, version)})

    def record_rollback(self, model: str, version: str, body: Mapping[str, Any]) -> None:
        """Keep the incident of a version that its canary took back."""
        self._put(f"model#{model}", f"rollback#{version}", body)

    def rollbacks(self, model: str) -> dict[str, dict[str, Any]]:
        """The incidents of versions that their canary took back, by version."""
        items = query_all(self._table, f"model#{model}", "rollback#")
        return {str(item["sk"]).partition("#")[2]: item for item in items}

    def claim_run(self, model: str, run: str) -> bool:
        """Make `run` the model's only training run; False when another one is under way."""
        return self._put(
            f"model#{model}",
            "active-run",
            {"run": run},
            ConditionExpression="attribute_not_exists(pk) OR #run = :run",
            ExpressionAttributeNames={"#run": "run"},
            ExpressionAttributeValues={":run": run},
        )

    def active_run(self, model: str) -> str | None:
        """The training run under way, if any."""
        item = self._get(f"model#{model}", "active-run")
        return str(item["run"]) if item else None

    def end_run(self, model: str, run: str) -> None:
        """Let the next run begin, unless another one has begun already."""
        try:
            self._table.delete_item(
                Key={"pk": f"model#{model}", "sk": "active-run"},
                ConditionExpression="#run = :run",
                ExpressionAttributeNames={"#run": "run"},
                ExpressionAttributeValues={":run": run},
            )
        except ClientError as error:
            require_lost_condition(error)

    def postpone_feedback(self, model: str, cause: str, now_ms: int) -> None:
        """Note that feedback, told of under this cause, waits until a run may begin; the latest to wait counts."""
        self._put(f"model#{model}", "postponed-feedback", {"cause": cause, "since_ms": now_ms})

    def postponed_feedback(self, model: str) -> tuple[str, int] | None:
        """The cause of feedback that waits, and since when; None where none does."""
        item = self._get(f"model#{model}", "postponed-feedback")
        return (str(item["cause"]), int(item["since_ms"])) if item else None

    def end_postponement(self, model: str) -> None:
        """Forget that feedback waits."""
        self._table.delete_item(Key={"pk": f"model#{model}", "sk": "postponed-feedback"})

    def record_run(self, run: str, body: Mapping[str, Any]) -> None:
        """Store a training run as the job API shows it."""
        self._put("runs", run, body)

    def run(self, run: str) -> dict[str, Any] | None:
        """A training run, or None."""
        return self._get("runs", run)

    def runs(self) -> Iterator[dict[str, Any]]:
        """All training runs, oldest first."""
        return query_all(self._table, "runs")

    @contextmanager
    def release_lease(self, of: str, now_ms: int, for_ms: int = RELEASE_LEASE_MS) -> Generator[None]:
        """Be the only one to change what is live, of SERVED or of a reward model; Conflict while somebody else does.

        Whoever dies with a lease leaves it to run out. Each has a number of its own: none ends another's.
        """
        last = self._get("leases", of) or {"number": 0, "until_ms": 0}
        number = last["number"] + 1
        if last["until_ms"] > now_ms or not self._keep_lease(of, last["number"], number, now_ms + for_ms):
            raise Conflict("another release or rollback is under way: try again in some minutes")
        try:
            yield
        finally:
            self._keep_lease(of, number, number, 0)

    def _keep_lease(self, of: str, expected_number: int, number: int, until_ms: int) -> bool:
        return self._put(
            "leases",
            of,
            {"number": number, "until_ms": until_ms},
            ConditionExpression="attribute_not_exists(pk) OR #number = :expected",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":expected": expected_number},
        )

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item = self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True).get("Item")
        return from_item(item) if item else None

    def _put(self, pk: str, sk: str, body: Mapping[str, Any], **condition: Any) -> bool:
        try:
            self._table.put_item(Item={**to_item(body), "pk": pk, "sk": sk}, **condition)
        except ClientError as error:
            require_lost_condition(error)
            return False
        return True


def _fields(item: Mapping[str, Any], shape: type[Any]) -> dict[str, Any]:
    return {name: item[name] for name in shape.__dataclass_fields__ if name in item}


def _waiting_key(model: str, version: str) -> str:
    return f"waiting#{model}#{int(version):09d}"


def _version_key(version: str) -> str:
    return f"version#{int(version):09d}"
