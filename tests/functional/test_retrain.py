"""The retrain function as a whole: events of its queue and the job API in, frozen datasets and Batch jobs out."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from pawl.bundle import Bundle
from pawl.dataset import CARD, FrozenDataset, freeze
from pawl.datasets import Datasets
from pawl.identity import isoformat
from pawl.quarantine import Quarantine
from pawl.records import CaptureRecord
from pawl.tombstones import bury, erase_answer, subject_digest
from pawl.versions import Elsewhere

HOUR_MS = 3_600_000
FRESH = [f"{word} {place}" for word in ("invoice", "login", "weather") for place in ("berlin", "oslo", "rome", "paris")]
RIGHT = {"invoice": "billing", "login": "account", "weather": "other"}


@pytest.fixture
def app(
    batch: Any, start: Callable[[str], ModuleType], cloud: Any, starter: Bundle, dataset: FrozenDataset
) -> ModuleType:
    cloud.seed(starter, dataset)
    return start("retrain.app")


@pytest.fixture
def handle(app: ModuleType, context: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda event: app.handler(event, context)


@pytest.fixture
def label_traffic(
    answered: Callable[..., CaptureRecord],
    store_traffic: Callable[..., None],
    say_label: Callable[[CaptureRecord, str], None],
    now_ms: int,
) -> Callable[..., None]:
    """Answers texts, an hour ago unless told otherwise, and says what each should have been."""

    def label(texts: list[str], hours_ago: float = 1.0) -> None:
        began = now_ms - round(hours_ago * HOUR_MS)
        records = [answered(text, unix_ms=began + i) for i, text in enumerate(texts)]
        store_traffic(records)
        for record, text in zip(records, texts, strict=True):
            say_label(record, RIGHT[text.casefold().split()[0]])

    return label


@pytest.fixture
def ask(
    handle: Callable[..., dict[str, Any]], rest: Callable[..., dict[str, Any]], body_of: Callable[..., Any]
) -> Callable[..., tuple[int, Any]]:
    """Asks the job API, as an operator; returns status and answer."""

    def send(method: str, resource: str, body: Any = None, **path: str) -> tuple[int, Any]:
        reply = handle(rest(method, resource, body, sender="operator", **path))
        return reply["statusCode"], body_of(reply)

    return send


def job_event(event: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """A payload file's Batch event, told of this very job."""
    told = json.loads(event["Records"][0]["body"])
    told["detail"] |= {name: job[name] for name in ("jobId", "jobName", "jobArn")}
    event["Records"][0]["body"] = json.dumps(told)
    return event


def test_a_drift_with_enough_labels_submits_one_job_that_knows_all_it_needs(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
    batch: Any,
) -> None:
    label_traffic(FRESH)

    assert handle(event("sqs_drift_detected")) == {"batchItemFailures": []}

    (job,) = jobs()
    run = cloud.registry.active_run("triage")
    body = cloud.registry.run(run)
    assert job["jobName"] == f"pawl-{run}"
    assert job["parameters"] == {
        "recipe": "transfer",
        "model": "triage",
        "version": "2",
        "dataset": f"s3://pawl-data/datasets/{body['dataset']}/",
        "run": run,
        "output": "s3://pawl-data/candidates/triage/2/",
        "parent": "models:/triage/1",
        "live": "s3://pawl-data/models/triage/1/",
    }
    assert (body["job_id"], body["status"], body["because"]) == (
        job["jobId"],
        "pending",
        "drift, with 12 labelled answers",
    )


def test_the_frozen_dataset_holds_the_parents_rows_and_the_labelled_traffic(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    cloud: Any,
    dataset: FrozenDataset,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))

    frozen = Datasets(cloud.bucket).load(cloud.registry.run(cloud.registry.active_run("triage"))["dataset"])

    assert frozen.splits["holdout"] == dataset.splits["holdout"]
    new = frozen.splits["train"][len(dataset.splits["train"]) :]
    assert frozen.splits["train"][: len(dataset.splits["train"])] == dataset.splits["train"]
    recent = frozen.splits["recent"]
    assert {row.text for row in new} | {row.text for row in recent} == set(FRESH)
    assert {row.text for row in new} & {row.text for row in recent} == set()
    assert [row.text for row in recent] == ["login oslo"]  # by the texts' own digests
    assert all(row.label == RIGHT[row.text.split()[0]] and row.source == "traffic" for row in [*new, *recent])
    assert (frozen.lineage["parent"], frozen.lineage["feedback"]) == (dataset.digest, 12)


def test_a_text_of_the_holdout_is_never_trained_on_though_people_label_it(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    cloud: Any,
    dataset: FrozenDataset,
) -> None:
    label_traffic([*FRESH, "Weather", "login "])
    handle(event("sqs_drift_detected"))

    frozen = Datasets(cloud.bucket).load(cloud.registry.run(cloud.registry.active_run("triage"))["dataset"])

    held_out = {row.text for row in dataset.splits["holdout"]}
    assert {row.text.casefold().strip() for row in frozen.splits["train"]} & held_out == set()
    assert frozen.lineage["feedback"] == 12


@pytest.fixture
def label_hastily(
    app: ModuleType, answered: Callable[..., CaptureRecord], store_traffic: Callable[..., None], cloud: Any, now_ms: int
) -> list[str]:
    """Labels 70 texts within a second, as no person does; the ids of the feedback."""
    records = [answered(f"login {number}", unix_ms=now_ms - HOUR_MS + number) for number in range(70)]
    store_traffic(records)
    for number, record in enumerate(records):
        uuid = record.inference_id.split(".")[1]
        body = {"metric": "label", "inference_id": record.inference_id, "value": ["account"], "rater": "bot"}
        body |= {"given_at": isoformat(now_ms + 10 * number), "feedback_id": f"hasty-{uuid}", "tags": {"rater": "bot"}}
        body["model_version"] = "1"
        cloud.put_feedback(model="triage", inference_uuid=uuid, metric="label", rater="bot", body=body)
    return [f"hasty-{record.inference_id.split('.')[1]}" for record in records]


@pytest.fixture
def learned(cloud: Any) -> Callable[[], set[str]]:
    """The texts of traffic in the dataset of the run under way."""

    def texts() -> set[str]:
        frozen = Datasets(cloud.bucket).load(cloud.registry.run(cloud.registry.active_run("triage"))["dataset"])
        return {row.text for rows in frozen.splits.values() for row in rows if row.source == "traffic"}

    return texts


def test_suspicious_feedback_waits_in_quarantine_with_its_evidence_and_the_rest_is_learned(
    label_hastily: list[str],
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    learned: Callable[[], set[str]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))

    entries = list(Quarantine(cloud.bucket, "triage").entries())

    assert learned() == set(FRESH)
    assert sorted(entry.feedback_id for entry in entries) == sorted(label_hastily)
    assert {(entry.rater, entry.reason, entry.number, entry.limit) for entry in entries} == {("bot", "burst", 70, 60)}
    frozen = Datasets(cloud.bucket).load(cloud.registry.run(cloud.registry.active_run("triage"))["dataset"])
    assert frozen.lineage["quarantined"] == {"burst": 70}
    assert b"| 70 | burst |" in frozen.files[CARD]


def test_what_a_person_restores_is_learned_by_the_next_run(
    label_hastily: list[str],
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    learned: Callable[[], set[str]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    quarantine = Quarantine(cloud.bucket, "triage")
    ask("POST", "/jobs", {"model": "triage"})
    cloud.registry.end_run("triage", cloud.registry.active_run("triage"))

    quarantine.restore(label_hastily[3])
    ask("POST", "/jobs", {"model": "triage"})

    assert learned() == {*FRESH, "login 3"}
    assert label_hastily[3] not in [entry.feedback_id for entry in quarantine.entries()]
    assert len(list(quarantine.entries())) == 69


def test_feedback_that_is_all_in_quarantine_starts_no_run_and_blocks_none(
    label_hastily: list[str],
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    status, answer = ask("POST", "/jobs", {"model": "triage"})

    because = "no run was started: nothing new to learn from: 70 quarantined"
    assert (status, answer, jobs()) == (409, {"error": because}, [])
    assert len(list(Quarantine(cloud.bucket, "triage").entries())) == 70
    label_traffic(FRESH)
    assert ask("POST", "/jobs", {"model": "triage"})[0] == 202


def test_a_raters_own_trust_lets_their_haste_count(
    label_hastily: list[str], ask: Callable[..., tuple[int, Any]], learned: Callable[[], set[str]], cloud: Any
) -> None:
    cloud.bucket.write("models/triage/trust.json", b'{"trusted": ["bot"]}')

    assert ask("POST", "/jobs", {"model": "triage"})[0] == 202

    assert learned() == {f"login {number}" for number in range(70)}


def test_who_was_erased_is_in_no_dataset_frozen_later(
    label_hastily: list[str],
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    learned: Callable[[], set[str]],
    cloud: Any,
    now_ms: int,
) -> None:
    cloud.bucket.write("models/triage/trust.json", b'{"trusted": ["bot"]}')
    label_traffic(FRESH)
    bury(cloud.bucket, [subject_digest("bot")], [])
    erased = next(
        item for item in cloud.feedback.within("triage", now_ms - HOUR_MS, now_ms + HOUR_MS) if item["rater"] == "ada"
    )
    erase_answer(cloud.bucket, erased["inference_id"])

    assert ask("POST", "/jobs", {"model": "triage"})[0] == 202

    assert len(learned()) == len(FRESH) - 1
    assert not {text for text in learned() if text.split()[1].isdigit()}


def test_the_same_event_again_submits_nothing_more(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    before = list(cloud.registry.runs())

    handle(event("sqs_drift_detected"))

    assert len(jobs()) == 1
    assert list(cloud.registry.runs()) == before


@pytest.mark.parametrize("cure", ["recalibrate_threshold", "recalibrate_confidences"])
def test_a_drift_that_a_recalibration_ends_gets_one_and_no_training(
    cure: str,
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    told = event("sqs_drift_detected")
    told["Records"][0]["body"] = told["Records"][0]["body"].replace("full_retrain", cure)

    handle(told)

    (job,) = jobs()
    assert (job["parameters"]["recipe"], job["parameters"]["live"]) == (
        "recalibrate",
        "s3://pawl-data/models/triage/1/",
    )
    _, shown = ask("GET", "/jobs/{id}", id=cloud.registry.active_run("triage"))
    assert (shown["recipe"], shown["conclusion"]) == ("recalibrate", "")


def test_a_recalibration_that_changed_nothing_is_completed_and_says_so(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    told = event("sqs_drift_detected")
    told["Records"][0]["body"] = told["Records"][0]["body"].replace("full_retrain", "recalibrate_threshold")
    handle(told)
    run = cloud.registry.active_run("triage")
    report = {"status": "completed", "conclusion": "nothing changed: 9 new labelled rows, a fit needs 30"}
    cloud.bucket.write("candidates/triage/2/run.json", json.dumps(report).encode())

    finish(event("sqs_batch_job_succeeded"), jobs(), handle)

    _, shown = ask("GET", "/jobs/{id}", id=run)
    assert (shown["status"], shown["conclusion"]) == ("completed", report["conclusion"])
    assert cloud.registry.active_run("triage") is None


def test_a_drift_that_trainings_have_not_ended_gets_a_search_for_better_knobs(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
) -> None:
    label_traffic(FRESH)
    told = event("sqs_drift_detected")
    told["Records"][0]["body"] = told["Records"][0]["body"].replace("full_retrain", "automl")

    handle(told)

    (job,) = jobs()
    assert job["parameters"]["recipe"] == "automl"


@pytest.mark.parametrize("cure", ["nothing", "rlhf"])
def test_a_drift_that_asks_for_another_cure_starts_no_run_on_its_word_nor_by_schedule(
    cure: str,
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    told = event("sqs_drift_detected")
    told["Records"][0]["body"] = told["Records"][0]["body"].replace("full_retrain", cure)
    cloud.registry.open_incident("triage", "1", {"cure": {"action": cure}})

    handle(told)
    handle(event("sqs_retrain_scheduled"))

    assert jobs() == []


def test_feedback_that_is_ready_starts_one_run_however_often_it_is_told(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
) -> None:
    handle(event("sqs_feedback_ready"))
    assert jobs() == []  # nothing that a recipe could learn from
    label_traffic(FRESH)

    for _ in range(2):
        assert handle(event("sqs_feedback_ready")) == {"batchItemFailures": []}

    assert len(jobs()) == 1


def test_a_drift_of_a_model_served_elsewhere_starts_no_run_and_is_dealt_with(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    ask: Callable[..., tuple[int, Any]],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cloud.registry.see_elsewhere(Elsewhere("churn", "7", 1_784_020_867_124))
    told = event("sqs_drift_detected")
    body = json.loads(told["Records"][0]["body"])
    body["detail"] |= {"id": "drift/churn/7", "subject": "churn"}
    told["Records"][0]["body"] = json.dumps(body)

    assert handle(told) == {"batchItemFailures": []}
    because = "churn is not served here: retrain it where it is served"
    assert vars(caplog.records[-1])["because"] == because
    assert ask("POST", "/jobs", {"model": "churn"}) == (409, {"error": f"no run was started: {because}"})
    assert handle(event("sqs_retrain_scheduled")) == {"batchItemFailures": []}
    assert jobs() == []


def test_a_drift_that_has_ended_is_no_cause_for_the_schedule(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    cloud.registry.open_incident("triage", "1", {})
    cloud.registry.update_incident("triage", "1", {"closed_at": "2026-07-14T09:21:08.412Z"})

    handle(event("sqs_retrain_scheduled"))

    assert jobs() == []


def test_too_few_labels_wait(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH[:7])

    handle(event("sqs_drift_detected"))

    assert (jobs(), cloud.registry.active_run("triage")) == ([], None)


def test_a_drift_that_had_to_wait_is_dealt_with_by_the_schedule_once_there_are_labels(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    cloud.registry.open_incident("triage", "1", {})
    handle(event("sqs_drift_detected"))
    assert jobs() == []
    label_traffic(FRESH)

    handle(event("sqs_retrain_scheduled"))

    assert len(jobs()) == 1
    (run,) = cloud.registry.runs()
    assert run["because"] == "schedule, with 12 labelled answers"


def test_the_schedule_alone_is_no_cause(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
) -> None:
    label_traffic(FRESH)

    handle(event("sqs_retrain_scheduled"))

    assert jobs() == []


@pytest.mark.parametrize("ended", ["sqs_batch_job_failed", "sqs_batch_job_succeeded"])
def test_feedback_that_was_ready_while_a_run_was_under_way_is_asked_about_again_after_the_cool_down(
    ended: str,
    app: ModuleType,
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    label_traffic([f"{text} again and again" for text in FRESH], hours_ago=0.5)
    handle(event("sqs_feedback_ready"))
    finish(event(ended), jobs(), handle)
    handle(event("sqs_retrain_scheduled"))
    assert len(jobs()) == 1  # the cool-down

    decision, run = app.runs.consider_again("triage", app.now_ms() + 7 * HOUR_MS)

    assert (len(jobs()), decision.because) == (2, "feedback, with 24 labelled answers")
    assert cloud.registry.active_run("triage") == run
    assert app.runs.consider_again("triage", app.now_ms() + 14 * HOUR_MS) is None


def test_feedback_that_waited_is_no_cause_once_another_run_has_learned_from_it(
    app: ModuleType,
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    ask: Callable[..., tuple[int, Any]],
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    handle(event("sqs_feedback_ready"))
    finish(event("sqs_batch_job_failed"), jobs(), handle)
    _, job = ask("POST", "/jobs", {"model": "triage"})
    mine = next(each for each in jobs() if each["jobName"] == f"pawl-{job['id']}")
    handle(job_event(event("sqs_batch_job_failed"), mine))

    decision, _ = app.runs.consider_again("triage", app.now_ms() + 7 * HOUR_MS)

    assert decision.because == "a run that began since has learned from it"
    assert app.runs.consider_again("triage", app.now_ms() + 7 * HOUR_MS) is None
    assert len(jobs()) == 2


def test_labels_are_counted_from_when_the_live_versions_dataset_was_frozen(
    app: ModuleType,
    label_traffic: Callable[..., None],
    ask: Callable[..., tuple[int, Any]],
    cloud: Any,
    starter: Bundle,
    dataset: FrozenDataset,
    now_ms: int,
) -> None:
    label_traffic(FRESH)
    window = [isoformat(now_ms - 30 * 24 * HOUR_MS), isoformat(app.now_ms() + HOUR_MS)]
    learned = freeze("triage", dataset.splits, {**dataset.lineage, "traffic_window": window})
    Datasets(cloud.bucket).store(learned)
    manifest = json.loads(cloud.bucket.read("models/triage/1/manifest.json"))
    manifest["lineage"]["dataset"] = learned.digest
    cloud.bucket.write("models/triage/1/manifest.json", json.dumps(manifest).encode())

    status, answer = ask("POST", "/jobs", {"model": "triage"})

    assert (status, answer["error"]) == (409, "no run was started: 0 labelled answers, a run needs 8")


def test_labels_of_answers_outside_the_window_do_not_count(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
) -> None:
    label_traffic(FRESH, hours_ago=31 * 24)

    handle(event("sqs_drift_detected"))

    assert jobs() == []


def test_a_crash_before_any_call_leads_to_one_run_with_one_version_when_the_event_comes_again(
    app: ModuleType,
    context: Any,
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    for number in range(1, 30):
        told = event("sqs_drift_detected")
        told["Records"][0]["body"] = told["Records"][0]["body"].replace("drift/triage/1", f"drift/triage/{number}")
        cloud.faults.die_at(number)
        try:
            app.handler(told, context)
            break
        except cloud.faults.Died:
            died_before = cloud.faults.writes[-1]
            cloud.faults.reset()
        app.handler(told, context)

        run = cloud.registry.active_run("triage")
        body = cloud.registry.run(run)
        mine = [job for job in jobs() if job["jobName"] == f"pawl-{run}"]
        assert body["job_id"] in [job["jobId"] for job in mine], (number, died_before)
        assert {job["parameters"]["version"] for job in mine} == {body["version"]}, (number, died_before)
        assert len(mine) == 1 or died_before == "dynamodb.PutItem", (number, died_before)
        cloud.registry.end_run("triage", run)
    assert number == 12  # claim, quarantine, five files, version, run, job, run, and then nothing was left to die at


def finish(event: dict[str, Any], jobs: list[dict[str, Any]], handle: Callable[..., Any]) -> None:
    handle(job_event(event, jobs[0]))


def test_a_job_that_succeeded_completes_its_run_and_is_announced(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    run = cloud.registry.active_run("triage")

    finish(event("sqs_batch_job_succeeded"), jobs(), handle)

    assert cloud.registry.run(run)["status"] == "completed"
    assert cloud.registry.active_run("triage") is None
    (announced,) = cloud.announced()
    assert (announced["type"], announced["id"], announced["source"]) == (
        "TrainingCompleted",
        f"run/{run}",
        "pawl.retrain",
    )
    assert announced["data"] == {"run": run, "model": "triage", "version": "2"}


def test_a_job_that_failed_says_why_and_lets_the_next_run_begin(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    run = cloud.registry.active_run("triage")

    finish(event("sqs_batch_job_failed"), jobs(), handle)

    body = cloud.registry.run(run)
    assert (body["status"], body["error"]) == ("failed", "Essential container in task exited")
    assert cloud.registry.active_run("triage") is None
    assert cloud.announced() == []


def test_the_end_of_a_job_told_again_changes_nothing(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    finish(event("sqs_batch_job_succeeded"), jobs(), handle)
    before = list(cloud.registry.runs())
    cloud.announced()

    finish(event("sqs_batch_job_succeeded"), jobs(), handle)

    assert list(cloud.registry.runs()) == before
    assert cloud.announced() == []


def test_the_end_of_somebody_elses_job_is_no_business_of_ours(
    handle: Callable[..., Any], event: Callable[[str], dict[str, Any]], cloud: Any
) -> None:
    assert handle(event("sqs_batch_job_succeeded")) == {"batchItemFailures": []}
    assert (list(cloud.registry.runs()), cloud.announced()) == ([], [])


def test_a_crash_at_the_end_of_a_job_blocks_no_later_run(
    app: ModuleType,
    context: Any,
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    for number in range(1, 20):
        _, record = app.runs.consider("triage", "person", f"person/{number}", app.now_ms())
        job = next(job for job in jobs() if job["jobName"] == f"pawl-{record}")
        cloud.faults.die_at(number)
        try:
            app.handler(job_event(event("sqs_batch_job_succeeded"), job), context)
            break
        except cloud.faults.Died:
            cloud.faults.reset()
        app.handler(job_event(event("sqs_batch_job_succeeded"), job), context)

        assert cloud.registry.run(record)["status"] == "completed", number
        assert cloud.registry.active_run("triage") is None, number
        assert {each["id"] for each in cloud.announced()} == {f"run/{record}"}, number
    assert number == 4  # announce, record, end, and then nothing was left to die at


def test_no_run_begins_soon_after_the_last_one_ended_unless_a_person_asks(
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    ask: Callable[..., tuple[int, Any]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    handle(event("sqs_drift_detected"))
    finish(event("sqs_batch_job_failed"), jobs(), handle)
    cloud.registry.open_incident("triage", "1", {})

    handle(event("sqs_retrain_scheduled"))
    assert len(jobs()) == 1

    assert ask("POST", "/jobs", {"model": "triage"})[0] == 202
    assert len(jobs()) == 2


def test_a_person_starts_a_run_and_sees_it_by_id_and_in_the_list(
    ask: Callable[..., tuple[int, Any]],
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    body_of: Callable[..., Any],
    cloud: Any,
) -> None:
    label_traffic(FRESH)

    reply = handle(event("api_gateway_operator"))

    job = body_of(reply)
    assert reply["statusCode"] == 202
    assert {name: job[name] for name in ("model", "version", "because", "status", "progress", "error")} == {
        "model": "triage",
        "version": "2",
        "because": "person, with 12 labelled answers",
        "status": "pending",
        "progress": 0.0,
        "error": "",
    }
    assert jobs()[0]["jobName"] == f"pawl-{job['id']}"
    assert ask("GET", "/jobs/{id}", id=job["id"]) == (200, job)
    assert ask("GET", "/jobs") == (200, {"jobs": [job]})


def test_a_run_shows_what_its_job_reports(
    ask: Callable[..., tuple[int, Any]], label_traffic: Callable[..., None], cloud: Any
) -> None:
    label_traffic(FRESH)
    _, job = ask("POST", "/jobs", {"model": "triage"})
    report = {"status": "running", "progress": 0.5, "runtime_seconds": 1800.0, "evaluations": [{"split": "holdout"}]}
    cloud.bucket.write("candidates/triage/2/run.json", json.dumps(report).encode())

    _, shown = ask("GET", "/jobs/{id}", id=job["id"])

    assert (shown["status"], shown["progress"], shown["evaluations"]) == ("running", 0.5, [{"split": "holdout"}])
    assert (shown["runtime_seconds"], shown["estimated_cost_usd"]) == (1800.0, 0.263)


def test_a_second_run_is_refused_while_one_is_under_way(
    ask: Callable[..., tuple[int, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    _, job = ask("POST", "/jobs", {"model": "triage"})

    status, answer = ask("POST", "/jobs", {"model": "triage"})

    assert (status, answer) == (409, {"error": f"no run was started: run {job['id']} is under way"})
    assert len(jobs()) == 1


def test_a_cancelled_run_stays_cancelled_when_its_job_ends(
    ask: Callable[..., tuple[int, Any]],
    handle: Callable[..., Any],
    event: Callable[[str], dict[str, Any]],
    label_traffic: Callable[..., None],
    jobs: Callable[[], list[dict[str, Any]]],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    _, job = ask("POST", "/jobs", {"model": "triage"})
    cloud.faults.reset()

    status, cancelled = ask("POST", "/jobs/{id}/cancel", id=job["id"])
    assert (status, cancelled["status"]) == (200, "cancelled")
    assert "batch.TerminateJob" in cloud.faults.calls
    finish(event("sqs_batch_job_failed"), jobs(), handle)

    assert ask("GET", "/jobs/{id}", id=job["id"])[1]["status"] == "cancelled"
    assert cloud.registry.active_run("triage") is None
    status, answer = ask("POST", "/jobs/{id}/cancel", id=job["id"])
    assert status == 409
    assert answer["error"].startswith(f"run {job['id']} is cancelled")


def test_a_cancellation_that_failed_half_way_can_be_asked_for_again(
    ask: Callable[..., tuple[int, Any]],
    handle: Callable[..., Any],
    rest: Callable[..., dict[str, Any]],
    label_traffic: Callable[..., None],
    cloud: Any,
) -> None:
    label_traffic(FRESH)
    _, job = ask("POST", "/jobs", {"model": "triage"})
    cloud.faults.die_on("batch.TerminateJob")
    assert handle(rest("POST", "/jobs/{id}/cancel", sender="operator", id=job["id"]))["statusCode"] == 500
    cloud.faults.reset()

    status, cancelled = ask("POST", "/jobs/{id}/cancel", id=job["id"])

    assert (status, cancelled["status"]) == (200, "cancelled")
    assert "batch.TerminateJob" in cloud.faults.calls


def test_what_is_not_there_is_404(ask: Callable[..., tuple[int, Any]]) -> None:
    assert ask("GET", "/jobs/{id}", id="nothing") == (404, {"error": "no training run 'nothing'"})
    assert ask("POST", "/jobs/{id}/cancel", id="nothing")[0] == 404
    assert ask("POST", "/jobs", {"model": "triagge"})[0] == 404


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, "body.model: Field required"),
        ({"model": "triage", "gpu": 8}, "body.gpu: Extra inputs are not permitted"),
        ("{", "body.1: JSON decode error"),
    ],
)
def test_a_request_for_a_run_that_cannot_be_read_is_400(
    body: Any, wanted: str, ask: Callable[..., tuple[int, Any]]
) -> None:
    assert ask("POST", "/jobs", body) == (400, {"error": wanted})
