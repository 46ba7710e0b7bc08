"""A deployment that has turned three times, for what `pawl` tells of it.

version 1   the starter
version 2   learned from two answers: `asked`, about ada, and `judged`, held out, that bob's request asked for
version 3   recalibrated from 2 after ada was erased: its own dataset holds nothing of her
version 4   trained anew without her, and refused
version 5   a run that failed on the dataset of version 2
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import boto3
from fastapi.testclient import TestClient

from pawl.bundle import EVIDENCE, Bundle, Lineage
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.datasets import Datasets
from pawl.identity import isoformat
from pawl.metrics import DEFAULTS
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.tombstones import answer_uuid, bury, subject_digest
from pawl.versions import Live, VersionRecord
from release.api import build as release_api
from release.releases import Releases
from retrain.api import build as job_api
from retrain.decision import Policy
from retrain.fleet import Fleet, Site
from retrain.orders import Orders
from retrain.runs import Runs

HOUR_MS = 3_600_000
KEYS = ReceiptKeys("1:" + "s" * 32)
PASSED = {"name": "holdout", "passed": True, "measured": "accuracy 0.9500", "wanted": "at least 0.9300"}
FAILED = {"name": "recent", "passed": False, "measured": "accuracy 0.8000", "wanted": "above 0.9000"}
RUN = {n: f"{n:032x}" for n in (2, 3, 4, 5)}


@dataclasses.dataclass(frozen=True)
class Operated:
    """The deployment as `pawl` sees it, and what there is to ask about."""

    stack: Any
    asked: str
    judged: str
    feedback_id: str
    datasets: dict[int, FrozenDataset]


def operate(
    cloud: Any,
    starter: Bundle,
    first: FrozenDataset,
    answered: Callable[..., CaptureRecord],
    store_traffic: Callable[[Sequence[CaptureRecord]], None],
    now_ms: int,
) -> Operated:
    """Let it turn three times."""
    cloud.seed(starter, first)
    given_ms = now_ms - now_ms % HOUR_MS - HOUR_MS // 2
    asked, judged = answered("invoice berlin", unix_ms=given_ms), answered("login oslo", unix_ms=given_ms + 1)
    store_traffic([asked, judged])
    feedback_id = _say(cloud, asked)
    datasets = _datasets(first, asked, judged, given_ms)
    for dataset in datasets.values():
        Datasets(cloud.bucket).store(dataset)
    bury(cloud.bucket, [subject_digest("ada")], [])
    _version(cloud, 2, "retired", "transfer", datasets[2], 1, [PASSED])
    _version(cloud, 3, "live", "recalibrate", datasets[3], 2, [PASSED])
    _version(cloud, 4, "refused", "transfer", datasets[3], 3, [PASSED, FAILED])
    for number, status in ((2, "completed"), (3, "completed"), (4, "completed"), (5, "failed")):
        _run(cloud, number, status, datasets[2 if number in (2, 5) else 3].digest, given_ms)
    cloud.registry.move_live(Live("triage", "3", "7", "arn", isoformat(now_ms), "all gates passed"), "1")
    return Operated(_stack(cloud), asked.inference_id, judged.inference_id, feedback_id, datasets)


def _stack(cloud: Any) -> Any:
    """What `operations.stack.Stack` offers: the functions' own routes over the deployment, less the network."""
    unused = cast(Any, None)
    orders = Orders(cloud.bucket, cloud.registry, cloud.feedback, 14.0, DEFAULTS)
    runs = Runs(
        cloud.bucket, cloud.registry, cloud.feedback, unused, unused, orders, Policy(8, 1.0), Fleet(Site("", "")), 0.5
    )
    releases = cast(Releases, SimpleNamespace(registry=cloud.registry))
    routes = {"/jobs": TestClient(job_api(runs, lambda: 0, str)), "/releases": TestClient(release_api(releases, int))}

    def call(verb: str, path: str, body: Any = None) -> Any:
        client = routes[f"/{path.split('/')[1]}"]
        return client.request(verb, path, json=body).raise_for_status().json()

    return SimpleNamespace(
        bucket=cloud.bucket,
        registry=cloud.registry,
        feedback=cloud.feedback,
        receipt_keys=KEYS,
        log_groups={"retrain": "retrain-logs", "training": "training-logs"},
        client=boto3.client,
        call=call,
    )


def _say(cloud: Any, record: CaptureRecord) -> str:
    """A label by `rater` about ada, as `feedback` stores it."""
    uuid, feedback_id = answer_uuid(record.inference_id), "6f1c1f5e-1d1c-5b1a-8a44-0f6f0f3f7c01"
    body = {"metric": "label", "inference_id": record.inference_id, "value": ["billing"], "rater": "rater"}
    body |= {"feedback_id": feedback_id, "tags": {"subject": "ada"}, "model_version": record.version}
    body |= {"given_at": isoformat(record.unix_ms + 1000)}
    cloud.put_feedback(model="triage", inference_uuid=uuid, metric="label", rater="rater", body=body)
    return feedback_id


def _datasets(
    first: FrozenDataset, asked: CaptureRecord, judged: CaptureRecord, given_ms: int
) -> dict[int, FrozenDataset]:
    window = [isoformat(given_ms - HOUR_MS), isoformat(given_ms + HOUR_MS)]
    hers = Row("invoice berlin", "billing", {}, "traffic", answer_uuid(asked.inference_id), subject_digest("ada"))
    his = KEYS.pseudonym("bob")
    held = Row("login oslo", "account", {}, "traffic", answer_uuid(judged.inference_id), his)
    train, holdout = first.splits["train"], first.splits["holdout"]
    about = {"version": "1", "traffic_window": window, "feedback": 2, "raters": 1}
    second = freeze(
        "triage", {"train": [*train, hers], "holdout": holdout, "recent": [held]}, {"parent": first.digest, **about}
    )
    third = freeze("triage", {"train": train, "holdout": holdout, "recent": [held]}, {"parent": second.digest, **about})
    return {2: second, 3: third}


def _version(
    cloud: Any, number: int, state: str, recipe: str, dataset: FrozenDataset, parent: int, gates: list[Any]
) -> None:
    lineage = Lineage(RUN[number], dataset.digest, f"models:/triage/{parent}", "MiniLM", "apache-2.0", "c0de" * 10)
    manifest = {
        "created_at": "2026-07-14T09:00:00.000Z",
        "lineage": dataclasses.asdict(dataclasses.replace(lineage, recipe=recipe)),
    }
    at = isoformat(1_784_020_000_000 + number)
    cloud.registry.record_version(
        VersionRecord("triage", str(number), state, "d" * 64, manifest, gates, function_version="7", updated_at=at)
    )
    if state != "refused":
        cloud.bucket.write(f"models/triage/{number}/{EVIDENCE}", json.dumps(gates, indent=1).encode())


def _run(cloud: Any, number: int, status: str, digest: str, created_ms: int) -> None:
    body = {"model": "triage", "version": str(number), "recipe": "transfer", "dataset": digest, "status": status}
    body |= {"because": "drift", "created_ms": created_ms + number, "job_id": f"job-{number}"}
    cloud.registry.record_run(RUN[number], body | ({"error": "out of memory"} if status == "failed" else {}))
