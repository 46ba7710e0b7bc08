"""The loop of a generator: preferences in, a reward model's run, and once that is released, the alignment's."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.functional.generators import MODEL, seal_generator

from feedback.intake import Intake
from feedback.labelling import identify
from feedback.pairs import parse
from feedback.schema import Feedback
from pawl.bundle import Bundle, Lineage, seal
from pawl.compared import apart, pair_of
from pawl.dataset import CARD
from pawl.datasets import Datasets
from pawl.identity import isoformat
from pawl.masking import Policy
from pawl.metrics import declared
from pawl.profile import Profile
from pawl.quarantine import Quarantine
from pawl.receipt import Receipt, ReceiptKeys
from pawl.records import CaptureRecord
from pawl.tombstones import bury, subject_digest
from pawl.versions import Live, VersionRecord
from retrain.gold import Gold, gold_in

HOUR_MS = 3_600_000
LATER = 50
"""What has such a number, or a higher one, is said after the test began, and so after its first freeze."""
JUDGE = f"{MODEL}-reward"


@pytest.fixture
def generator(tmp_path: Path) -> Bundle:
    """Version 1 of the generator."""
    return seal_generator(tmp_path / "generator")


@pytest.fixture
def app(batch: Any, start: Callable[[str], ModuleType], cloud: Any, generator: Bundle) -> ModuleType:
    register(cloud, generator)
    return start("retrain.app")


@pytest.fixture
def handle(app: ModuleType, context: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda event: app.handler(event, context)


@pytest.fixture
def told(event: Callable[[str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """An event of a payload file, told of the generator."""

    def make(name: str, **changes: str) -> dict[str, Any]:
        made = event(name)
        body = made["Records"][0]["body"].replace("triage", MODEL)
        for before, after in changes.items():
            body = body.replace(before, after)
        made["Records"][0]["body"] = body
        return made

    return make


@pytest.fixture
def answer(keys: ReceiptKeys, cloud: Any, now_ms: int) -> Callable[..., str]:
    """Captures an answer to a prompt, and returns its inference_id."""
    given = iter(range(1, 1_000_000))

    def capture(prompt: str, text: str, version: str = "1") -> str:
        number = next(given)
        at_ms = now_ms - HOUR_MS + number
        asked = json.dumps([{"role": "user", "content": prompt}])
        about = {"model": MODEL, "model_version": version, "function_version": "1", "rows": 1}
        inference_id = keys.sign(**about, payload=asked.encode(), unix_ms=at_ms, random=number.to_bytes(10, "big"))
        outputs = {"text": [text], "finish_reason": ["stop"]}
        record = CaptureRecord(inference_id, MODEL, version, at_ms, {"messages": [asked]}, outputs, {"tokens": [3]})
        cloud.traffic.store(f"{inference_id.split('.')[1]}-0123456789ab", [record], Profile.open())
        return inference_id

    return capture


@pytest.fixture
def compare(answer: Callable[..., str], cloud: Any, now_ms: int) -> Callable[..., None]:
    """Answers so many prompts twice, and says which answer is better, as the feedback function keeps it."""

    def say(count: int, first: int = 0, rater: str = "ada") -> None:
        for number in range(first, first + count):
            ids = [answer(f"where does bird {number} of {number} sleep", text) for text in ("high up", "no idea")]
            uuids = [each.split(".")[1] for each in ids]
            about = f"preference.{apart(uuids)}"
            body = {"metric": "preference", "value": {"chosen": ids[0], "rejected": ids[1]}, "rater": rater}
            body |= {"feedback_id": f"said-{number}", "tags": {"rater": rater}, "model_version": "1"}
            body |= {"given_at": isoformat(now_ms + 60_000 * (number - LATER))}
            cloud.put_feedback(model=MODEL, inference_uuid=max(uuids), metric=about, rater=rater, body=body)

    return say


@pytest.fixture
def thumb(answer: Callable[..., str], cloud: Any, now_ms: int) -> Callable[..., None]:
    """Answers so many prompts once, and says of every second answer that it is good, of the others bad."""

    def say(count: int, first: int = 0, rater: str = "ada", good: Callable[[int], bool] = lambda n: n % 2 == 0) -> None:
        for number in range(first, first + count):
            text = f"high up in tree {number} of {number}" if good(number) else f"no idea of {number} at all"
            inference_id = answer(f"where does bird {number} of {number} sleep", text)
            body = {"metric": "thumbs_up", "value": good(number), "rater": rater, "inference_id": inference_id}
            body |= {"feedback_id": f"thumb-{number}", "tags": {"rater": rater}, "model_version": "1"}
            body |= {"given_at": isoformat(now_ms + 60_000 * (number - LATER))}
            uuid = inference_id.split(".")[1]
            cloud.put_feedback(model=MODEL, inference_uuid=uuid, metric="thumbs_up", rater=rater, body=body)

    return say


@pytest.fixture
def release_judge(cloud: Any, tmp_path: Path, told: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Releases the reward model of a run, as the release function does; the event that says so."""

    def release(run: str, version: str = "1") -> dict[str, Any]:
        body = cloud.registry.run(run)
        folder = tmp_path / f"judge-{version}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"judge")
        lineage = Lineage(run, body["dataset"], None, "none", "Apache-2.0", "tests", recipe="reward")
        about: dict[str, Any] = {"name": JUDGE, "version": version, "kind": "reward-model", "labels": []}
        about |= {"inputs": [], "outputs": [], "max_tokens": 8, "quantization": {}, "metrics": {}, "lineage": lineage}
        bundle = seal(folder, created_at="2026-07-14T09:00:00.000Z", **about)
        cloud.store_files(f"models/{JUDGE}/{version}/", bundle)
        before = cloud.registry.live(JUDGE).version if JUDGE in cloud.registry.models() else None
        cloud.registry.move_live(Live(JUDGE, version), before)
        return judge_released(told, version)

    return release


def register(cloud: Any, bundle: Bundle) -> None:
    name, version = bundle.manifest.name, bundle.manifest.version
    cloud.store_files(f"models/{name}/{version}/", bundle)
    cloud.registry.count_versions_from(name, version)
    cloud.registry.record_version(VersionRecord(name, version, "live", bundle.digest))
    cloud.registry.move_live(Live(name, version, reason="starter"), None)


def judge_released(told: Callable[..., Any], version: str) -> dict[str, Any]:
    made = told("sqs_feedback_ready")
    event = json.loads(made["Records"][0]["body"])
    event["detail-type"], event["source"] = "ModelReleased", "pawl.release"
    data = {"version": version, "kind": "reward-model"}
    event["detail"] |= {"id": f"released/{JUDGE}/{version}", "subject": JUDGE, "data": data}
    made["Records"][0]["body"] = json.dumps(event)
    return made


def ended(told: Callable[..., Any], job: dict[str, Any], status: str = "succeeded") -> dict[str, Any]:
    made = told(f"sqs_batch_job_{status}")
    event = json.loads(made["Records"][0]["body"])
    event["detail"] |= {name: job[name] for name in ("jobId", "jobName", "jobArn")}
    made["Records"][0]["body"] = json.dumps(event)
    return made


def words(recipe: str, model: str, version: str, run: str, dataset: str) -> dict[str, str]:
    """What every job for this model is told."""
    return {
        "recipe": recipe,
        "model": model,
        "version": version,
        "dataset": f"s3://pawl-data/datasets/{dataset}/",
        "run": run,
        "output": f"s3://pawl-data/candidates/{model}/{version}/",
        "parent": f"models:/{MODEL}/1",
        "live": f"s3://pawl-data/models/{MODEL}/1/",
    }


def test_feedback_that_is_ready_trains_a_reward_model_of_the_comparisons(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    compare(20)

    handle(told("sqs_feedback_ready"))

    (job,) = jobs()
    run = cloud.registry.active_run(MODEL)
    body = cloud.registry.run(run)
    assert job["parameters"] == words("reward", JUDGE, "1", run, body["dataset"])
    assert (body["model"], body["serves"], body["because"]) == (JUDGE, MODEL, "feedback, with 20 compared answers")
    frozen = Datasets(cloud.bucket).load_pairs(body["dataset"])
    assert {split: len(rows) for split, rows in frozen.splits.items()} == {"train": 15, "holdout": 5}
    assert {(row.chosen, row.rejected) for rows in frozen.splits.values() for row in rows} == {("high up", "no idea")}


def test_a_released_reward_model_aligns_the_generator_on_its_own_dataset_before_batch_says_that_its_run_is_over(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))
    trained = cloud.registry.active_run(MODEL)
    cloud.bucket.write(f"models/{MODEL}/knobs/align.json", b'{"method": "kto"}')

    handle(release_judge(trained))

    (job,) = (job for job in jobs() if job["parameters"]["recipe"] == "align")
    run = cloud.registry.active_run(MODEL)
    assert job["parameters"] == words("align", MODEL, "2", run, cloud.registry.run(trained)["dataset"]) | {
        "reward": f"s3://pawl-data/models/{JUDGE}/1/",
        "knobs": f"s3://pawl-data/models/{MODEL}/knobs/align.json",
    }
    assert cloud.registry.run(run)["because"] == "judge, with reward model 1"

    first = next(job for job in jobs() if job["parameters"]["recipe"] == "reward")
    handle(ended(told, first))

    assert cloud.registry.run(trained)["status"] == "completed"
    assert cloud.registry.active_run(MODEL) == run
    (announced,) = cloud.announced()
    assert announced["data"] == {"run": trained, "model": JUDGE, "version": "1"}


def test_an_alignment_learns_nothing_of_whoever_was_erased_after_its_judge_had_learned_it(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(12)
    compare(8, first=12, rater="eve")
    handle(told("sqs_feedback_ready"))
    trained = cloud.registry.active_run(MODEL)
    learned = Datasets(cloud.bucket).load_pairs(cloud.registry.run(trained)["dataset"])
    bury(cloud.bucket, [subject_digest("eve")], [])

    handle(release_judge(trained))

    (job,) = (job for job in jobs() if job["parameters"]["recipe"] == "align")
    frozen = Datasets(cloud.bucket).load_pairs(cloud.registry.run(cloud.registry.active_run(MODEL))["dataset"])
    assert job["parameters"]["dataset"] == f"s3://pawl-data/datasets/{frozen.digest}/"
    eve = subject_digest("eve")
    assert sum(row.subject == eve for rows in learned.splits.values() for row in rows) == 8
    assert frozen.splits == {
        split: [row for row in rows if row.subject != eve] for split, rows in learned.splits.items()
    }
    assert (frozen.lineage["parent"], frozen.lineage["feedback"]) == (learned.digest, 0)
    assert frozen.lineage["left_out"]["erased row"] == 8
    assert "| 8 | erased row |" in frozen.files[CARD].decode()


def test_an_alignment_of_which_everybody_was_erased_waits(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))
    trained = cloud.registry.active_run(MODEL)
    bury(cloud.bucket, [subject_digest("ada")], [])

    handle(release_judge(trained))

    assert [job["parameters"]["recipe"] for job in jobs()] == ["reward"]
    assert cloud.registry.active_run(MODEL) is None


def test_the_same_events_again_submit_nothing_more(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))
    released = release_judge(cloud.registry.active_run(MODEL))
    handle(released)
    before = list(cloud.registry.runs())

    for event in (told("sqs_feedback_ready"), released, judge_released(told, "1")):
        handle(event)

    assert len(jobs()) == 2
    assert list(cloud.registry.runs()) == before


def test_a_crash_before_any_write_leads_to_one_alignment_when_the_event_comes_again(
    app: ModuleType, context: Any, compare: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(20)
    app.handler(told("sqs_feedback_ready"), context)
    release_judge(cloud.registry.active_run(MODEL))
    for number in range(1, 12):
        released = judge_released(told, "1")
        released["Records"][0]["body"] = released["Records"][0]["body"].replace("reward/1", f"reward/1/{number}")
        cloud.faults.die_at(number)
        try:
            app.handler(released, context)
            break
        except cloud.faults.Died:
            died_before = cloud.faults.writes[-1]
            cloud.faults.reset()
        app.handler(released, context)

        run = cloud.registry.active_run(MODEL)
        body = cloud.registry.run(run)
        mine = [job for job in jobs() if job["jobName"] == f"pawl-{run}"]
        assert body["job_id"] in [job["jobId"] for job in mine], (number, died_before)
        assert {job["parameters"]["version"] for job in mine} == {body["version"]}
        cloud.registry.end_run(MODEL, run)
        cloud.registry.record_run(run, {**body, "status": "failed"})
    assert number == 7  # the run of the judge ended, claim, version, run, job, run; then nothing was left to die at


def test_an_alignment_that_failed_is_tried_again_when_a_person_asks_and_feedback_trains_the_judge_anew(
    compare: Any, handle: Any, told: Any, rest: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))
    handle(release_judge(cloud.registry.active_run(MODEL)))
    handle(ended(told, next(job for job in jobs() if job["parameters"]["recipe"] == "align"), "failed"))

    reply = handle(rest("POST", "/jobs", {"model": MODEL}, sender="operator"))

    assert reply["statusCode"] == 202
    again = json.loads(reply["body"])
    assert (again["recipe"], again["model"], again["version"], again["serves"]) == ("align", MODEL, "3", MODEL)
    handle(ended(told, next(job for job in jobs() if job["parameters"]["version"] == "3")))
    compare(12, first=100)
    reply = handle(rest("POST", "/jobs", {"model": MODEL}, sender="operator"))
    newer = json.loads(reply["body"])
    assert (newer["recipe"], newer["model"], newer["version"], newer["serves"]) == ("reward", JUDGE, "2", MODEL)
    frozen = Datasets(cloud.bucket).load_pairs(newer["datasets"][0])
    assert frozen.lineage["parent"] == again["datasets"][0]
    assert {split: len(rows) for split, rows in frozen.splits.items()} == {"train": 24, "holdout": 5, "recent": 3}
    (job,) = (job for job in jobs() if job["parameters"]["model"] == JUDGE and job["parameters"]["version"] == "2")
    assert job["parameters"]["parent"] == f"models:/{JUDGE}/1"
    assert job["parameters"]["live"] == f"s3://pawl-data/models/{JUDGE}/1/"


def test_an_alignment_ends_the_claim_of_the_model_that_it_serves(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))

    handle(ended(told, jobs()[0], "failed"))

    assert cloud.registry.active_run(MODEL) is None


def test_a_drift_whose_cure_is_rlhf_trains_the_reward_model(
    compare: Any, handle: Any, told: Any, jobs: Any, event: Any
) -> None:
    compare(20)
    drifted = told("sqs_drift_detected")
    body = json.loads(drifted["Records"][0]["body"])
    body["detail"]["data"] = {"cure": {"action": "rlhf"}}
    drifted["Records"][0]["body"] = json.dumps(body)

    handle(drifted)

    assert [job["parameters"]["recipe"] for job in jobs()] == ["reward"]


def test_thumbs_with_too_few_comparisons_align_the_generator_by_kto_at_once(
    compare: Any, thumb: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    thumb(24)
    compare(4, first=100)

    handle(told("sqs_feedback_ready"))

    (job,) = jobs()
    run = cloud.registry.active_run(MODEL)
    body = cloud.registry.run(run)
    assert job["parameters"] == words("align", MODEL, "2", run, body["dataset"]) | {"method": "kto"}
    assert body["because"] == ("feedback, with 4 compared answers, too few for a reward model, and 24 thumbs: by kto")
    frozen = Datasets(cloud.bucket).load_pairs(body["dataset"])
    assert {split: len(rows) for split, rows in frozen.splits.items()} == {"train": 21, "holdout": 7}
    thumbs = [row for rows in frozen.splits.values() for row in rows if row.is_thumb]
    assert {(row.chosen[:7], row.rejected[:7]) for row in thumbs} == {("high up", ""), ("", "no idea")}
    assert (len(thumbs), frozen.lineage["thumbs"]) == (24, 24)


def test_comparisons_enough_for_a_reward_model_take_the_thumbs_along(
    compare: Any, thumb: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    thumb(24)
    compare(20, first=100)

    handle(told("sqs_feedback_ready"))

    (job,) = jobs()
    assert (job["parameters"]["recipe"], "method" in job["parameters"]) == ("reward", False)
    frozen = Datasets(cloud.bucket).load_pairs(cloud.registry.run(cloud.registry.active_run(MODEL))["dataset"])
    assert (frozen.thumbs, frozen.lineage["feedback"]) == (24, 44)


def test_a_released_reward_model_compares_the_answers_of_an_alignment_by_thumbs(
    compare: Any, thumb: Any, handle: Any, told: Any, rest: Any, jobs: Any, cloud: Any, release_judge: Any
) -> None:
    compare(12)
    handle(told("sqs_feedback_ready"))
    first = cloud.registry.run(cloud.registry.active_run(MODEL))["dataset"]
    handle(release_judge(cloud.registry.active_run(MODEL)))
    handle(ended(told, next(job for job in jobs() if job["parameters"]["recipe"] == "align")))
    for item in list(cloud.feedback.all()):  # the alignment is live, and nobody compares its answers
        cloud.feedback.remove(item)
    thumb(24, first=200)

    reply = handle(rest("POST", "/jobs", {"model": MODEL}, sender="operator"))

    run = json.loads(reply["body"])
    (job,) = (job for job in jobs() if job["parameters"].get("method") == "kto")
    assert (run["recipe"], job["parameters"]["reward"]) == ("align", f"s3://pawl-data/models/{JUDGE}/1/")
    frozen = Datasets(cloud.bucket).load_pairs(run["datasets"][0])
    assert (frozen.lineage["parent"], frozen.lineage["thumbs"]) == (first, 24)


def test_thumbs_that_all_point_the_same_way_are_no_cause(
    thumb: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    thumb(24, good=lambda number: True)

    handle(told("sqs_feedback_ready"))

    assert jobs() == []
    assert cloud.registry.active_run(MODEL) is None


def test_too_few_comparisons_wait(compare: Any, handle: Any, told: Any, jobs: Any) -> None:
    compare(5)

    handle(told("sqs_feedback_ready"))

    assert jobs() == []


def test_the_schedule_asks_for_no_reward_model_of_a_reward_model(
    compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any, release_judge: Any, event: Any
) -> None:
    compare(20)
    handle(told("sqs_feedback_ready"))
    release_judge(cloud.registry.active_run(MODEL))

    handle(event("sqs_retrain_scheduled"))

    assert len(jobs()) == 1


def test_hasty_comparisons_wait_in_quarantine_without_their_texts(
    compare: Any, handle: Any, told: Any, cloud: Any, now_ms: int
) -> None:
    compare(20)
    for number in range(70):
        item = next(each for each in cloud.feedback.all() if each["feedback_id"] == f"said-{number % 20}")
        uuid, about, _ = item["sk"].split("#")
        body = {name: value for name, value in item.items() if name not in ("pk", "sk")}
        body |= {"rater": f"bot-{number // 20}", "feedback_id": f"hasty-{number}"}
        body["given_at"] = isoformat(now_ms + number)
        cloud.put_feedback(model=MODEL, inference_uuid=uuid, metric=about, rater=body["rater"], body=body)
    cloud.bucket.write(f"models/{MODEL}/trust.json", b'{"burst_votes": 15}')

    handle(told("sqs_feedback_ready"))

    entries = list(Quarantine(cloud.bucket, MODEL).entries())
    assert {(entry.rater, entry.reason) for entry in entries} == {(f"bot-{number}", "burst") for number in range(3)}
    assert all(" better than " in entry.value[0] and "high" not in entry.value[0] for entry in entries)


def test_the_labelling_pages_gold_pairs_are_found_by_the_very_key_of_a_vote_on_them(
    answer: Callable[..., str], cloud: Any, keys: ReceiptKeys, now_ms: int
) -> None:
    ids = [answer("Name a bird.", text) for text in ("A wren.", "A cat.")]
    own = {"prompt": "Name a bird.", "gold": 1, "answers": [{"text": "A wren.", "inference_id": ids[0]}]}
    own["answers"].append({"text": "A cat.", "inference_id": ids[1]})
    beside = {"prompt": "Name a bird.", "answers": [{"text": "A kite."}, {"text": "A fox."}], "inference_id": ids[0]}
    personal = {**beside, "answers": [{"text": "Ask eve@example.org."}, {"text": "Ask ada@example.org."}], "gold": 1}
    lines = [json.dumps(each) for each in (own, {**beside, "gold": 0}, personal, beside)]
    cloud.bucket.write(f"pairs/{MODEL}/one.jsonl", "\n".join(lines).encode())

    found = gold_in(cloud.bucket, MODEL, Policy())

    pairs = [pair.masked(Policy()) for pair in parse("\n".join(lines[:3]).encode())]
    assert list(found.gold) == [identify(pair, MODEL, Receipt.unproved) for pair in pairs]
    assert [gold.better for gold in found.gold.values()] == [ids[0], None, "Ask <EMAIL_2>."]
    value = {"tie": [answer["text"] for answer in personal["answers"]]}
    sent = {"metric_name": "preference", "value": value, "inference_id": ids[0]}
    piece = Intake(keys, declared(""), 90.0).read(Feedback.model_validate(sent), "key", now_ms)
    assert pair_of(piece.key[1]) == list(found.gold)[2]


def test_a_line_that_is_no_pair_is_counted_and_keeps_no_comparison_from_being_learned(
    answer: Callable[..., str], compare: Any, handle: Any, told: Any, jobs: Any, cloud: Any
) -> None:
    compare(60)
    ids = [answer("Name a bird.", text) for text in ("A wren.", "A cat.")]
    good = {"answers": [{"text": text, "inference_id": id} for text, id in zip("ab", ids, strict=True)], "gold": 1}
    wrong = [{**good, "gold": 3}, {**good, "answers": [{"text": "a"}] * 2}, {"gold": 1}, 7]
    malformed = {"answers": [{"text": "a"}, {"text": "b"}], "inference_id": "1.a", "gold": 2}
    lines = [json.dumps(each) for each in (*wrong, malformed, good)]
    cloud.bucket.write(f"pairs/{MODEL}/one.jsonl", "\n".join([*lines, "no JSON", ""]).encode())

    handle(told("sqs_feedback_ready"))

    assert len(jobs()) == 1
    body = cloud.registry.run(cloud.registry.active_run(MODEL))
    frozen = Datasets(cloud.bucket).load_pairs(body["dataset"])
    assert frozen.lineage["left_out"]["no pair"] == 6
    assert "| 6 | no pair |" in frozen.files[CARD].decode()
    assert list(gold_in(cloud.bucket, MODEL, Policy()).gold.values()) == [Gold(ids[0])]
