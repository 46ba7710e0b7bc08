"""The whole loop on the real template in the local cloud: what `scripts/up` narrates, asserted.

The tests are one story and run in order; the deployment is made once.
"""

import json
from typing import Any

import pytest

from local.client import Client, RequestRefused
from local.cloud import LocalCloud
from local.deploy import deploy
from local.story import MODEL, Story, now_ms
from local.up import HOME, PARAMETERS
from pawl.identity import isoformat

pytestmark = pytest.mark.e2e
# Unseen questions of the later kind: the retrained model must answer this much more of them rightly.
MARGIN = 0.05
MEMORY_MB = 1769


def test_undrifted_traffic_is_answered_rightly_and_raises_no_drift(story: Story) -> None:
    story.watch_undrifted()
    assert story.figures.versions["before"] == "1"
    assert story.figures.accuracy_before["old"] >= 0.8
    assert story.stack.registry.incident(MODEL, "1") is None


def test_a_request_without_a_key_is_refused(story: Story) -> None:
    with pytest.raises(RequestRefused) as refusal:
        Client(story.client.url, "no-such-key").predict(MODEL, ["hello"])
    assert refusal.value.status == 403


def test_a_forged_inference_is_refused_and_nothing_is_stored(story: Story) -> None:
    prediction = story.ask(story.old[:1])[0]
    forged = prediction.inference_id[:-1] + ("A" if prediction.inference_id[-1] != "A" else "B")
    before = list(story.stack.feedback.all())
    with pytest.raises(RequestRefused) as refusal:
        story.client.give_feedback(forged, "thumbs_up", True)
    assert refusal.value.status == 400
    assert list(story.stack.feedback.all()) == before


def test_a_capture_delivered_twice_is_counted_once(story: Story) -> None:
    story.settle()
    records = list(story.stack.traffic.records(MODEL, "1", story.began_ms, now_ms()))
    assert len({record.inference_id for record in records}) == story.asked
    deliver(story, "CaptureQueueUrl", [record.to_json() for record in records[:10]])
    story.ask(story.old[:1])  # travels behind the duplicates: once it is stored, they have been dealt with
    story.settle()


def test_later_traffic_is_found_to_have_drifted(story: Story) -> None:
    story.watch_drifted()
    assert story.figures.drift["new"] > story.figures.drift["old"]
    incident = story.stack.registry.incident(MODEL, "1")
    assert incident is not None
    assert incident["columns"]


def test_the_drift_starts_one_run_whose_version_goes_through_its_gates_and_its_canary(story: Story) -> None:
    story.wait_for_run()
    story.wait_for_gates("2")
    shares = alias_of(story)["RoutingConfig"]["AdditionalVersionWeights"]
    assert list(shares.values()) == [0.2]
    story.go_through_canary("2")
    record = story.stack.registry.version(MODEL, "2")
    assert record is not None
    assert [note["what"] for note in record.canary] == ["started", "next step", "promoted"]
    assert min(record.canary[-1]["figures"]["feedback"]["answers"]) >= 20
    assert min(record.canary[1]["figures"]["feedback"]["answers"]) > 0
    assert record.canary[-1]["figures"]["familiarity"]["difference"] > -0.1
    assert "RoutingConfig" not in alias_of(story)
    assert [job["version"] for job in story.stack.call("GET", "/jobs")["jobs"]] == ["2"]
    assert parameter_of(story) == story.stack.registry.live(MODEL).layer_arn


def test_the_new_version_answers_later_questions_better_and_old_ones_as_well(story: Story) -> None:
    story.compare_after()
    before, after = story.figures.accuracy_before, story.figures.accuracy_after
    assert after["new"] >= before["new"] + MARGIN
    assert after["old"] >= before["old"] - 0.05


def test_lineage_leads_from_the_version_to_its_data(story: Story) -> None:
    manifest = story.stack.registry.manifest(MODEL, "2")
    dataset = json.loads(story.stack.bucket.read(f"datasets/{manifest.lineage.dataset}/_manifest.json"))
    assert manifest.lineage.parent == f"models:/{MODEL}/1"
    assert manifest.lineage.feedback == dataset["lineage"]["feedback"] > 0
    assert dataset["lineage"]["parent"] == story.stack.registry.manifest(MODEL, "1").lineage.dataset
    assert story.stack.registry.run(manifest.lineage.run) is not None


def test_duplicate_events_change_nothing(story: Story) -> None:
    before = snapshot(story)
    incident = story.stack.registry.incident(MODEL, "1") or {}
    drift = {
        "source": "pawl.drift",
        "detail-type": "DriftDetected",
        "detail": {"id": f"drift/{MODEL}/1", "subject": MODEL, "data": incident.get("columns")},
    }
    arrival = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"object": {"key": f"candidates/{MODEL}/2/manifest.json"}},
    }
    run = story.stack.call("GET", "/jobs")["jobs"][0]["id"]
    job = story.stack.registry.run(run) or {}
    ended = {
        "source": "aws.batch",
        "detail-type": "Batch Job State Change",
        "detail": {"jobName": f"pawl-{run}", "jobId": job["job_id"], "status": "SUCCEEDED"},
    }
    deliver(story, "RetrainQueueUrl", [json.dumps(drift), json.dumps(ended)])
    deliver(story, "ReleaseQueueUrl", [json.dumps(arrival)])
    story.wait("the queues are empty", 60, lambda: is_empty(story, "RetrainQueueUrl", "ReleaseQueueUrl"))
    assert snapshot(story) == before


def test_a_dropped_file_of_a_model_served_elsewhere_is_profiled_and_checked(story: Story) -> None:
    rows = "".join(f"{age % 40},{'stays' if age % 3 else 'leaves'}\n" for age in range(1_000))
    began = now_ms() - 60_000
    story.stack.bucket.write("inbox/traffic/churn/2026-07/today.csv", f"age,label\n{rows}nothing\n".encode())

    def profiled() -> bool:
        profiles = story.stack.traffic.profiles("churn", "2026-07", began, now_ms() + 60_000)
        return sum(profile.rows for profile in profiles) == 1_000

    story.wait("the dropped file is profiled", 120, profiled)
    window = {"model": "churn", "since": isoformat(began), "until": isoformat(now_ms() + 60_000)}
    first, second = (story.stack.invoke("DriftCheckFunction", window)["reports"][0] for _ in range(2))
    assert (first["status"], first["rows"], second["status"]) == ("learning", 1_000, "stable")
    (faults,) = story.stack.bucket.keys("inbox/traffic/churn/2026-07/today.csv.errors/")
    assert json.loads(story.stack.bucket.read(faults))["line"] == 1_002
    assert "churn" not in story.stack.registry.models()


def test_a_spoiled_candidate_is_refused_with_its_reasons(story: Story) -> None:
    story.offer_spoiled()
    refused = next(each for each in story.stack.registry.versions(MODEL) if each.state == "refused")
    assert {gate["name"] for gate in refused.gates if not gate["passed"]} >= {"holdout", "recent"}
    assert story.stack.registry.live(MODEL).version == "2"


def test_rollback_restores_the_very_bundle_of_version_1(story: Story) -> None:
    registered = {each.version: each.digest for each in story.stack.registry.versions(MODEL)}
    assert story.client.get(f"/v2/models/{MODEL}")["properties"]["digest"] == registered["2"]
    story.roll_back()
    assert story.client.get(f"/v2/models/{MODEL}")["properties"]["digest"] == registered["1"]
    assert story.stack.registry.live(MODEL).version == "1"


def test_a_deployment_in_the_middle_of_a_canary_puts_both_arms_on_its_code_and_the_canary_goes_on(
    story: Story, house: LocalCloud
) -> None:
    version = story.offer_again()
    before = alias_of(story)
    built = (HOME / "build" / "template.yaml").read_text()
    changed = HOME / "build" / "larger.yaml"
    changed.write_text(built.replace(f"MemorySize: {MEMORY_MB}", f"MemorySize: {MEMORY_MB + 1}"))

    deploy(house, changed, story.stack.name, PARAMETERS)

    main = alias_of(story)["FunctionVersion"]
    assert main != before["FunctionVersion"]
    assert story.ask(story.old[:1])[0].version in ("1", version)
    story.wait("the canary has seen the deployment", 30, lambda: "deployed" in looked(story, version))
    after, trial = alias_of(story), story.stack.registry.canary() or {}
    assert after["FunctionVersion"] == trial["baseline"] == main
    assert after["RoutingConfig"]["AdditionalVersionWeights"] == {trial["function_version"]: float(trial["weight"])}
    assert {memory_of(story, number) for number in (main, trial["function_version"])} == {MEMORY_MB + 1}
    for row in story.old[:10]:
        story.ask_pinned(version, row.text)
    assert parameter_of(story) == story.stack.registry.live(MODEL).layer_arn == "starter"
    told = [note for note in trial["notes"] if note["what"] == "deployed"]
    wanted = f"a deployment put function version {main} in the place of {before['FunctionVersion']}"
    assert [note["because"] for note in told] == [wanted]


def test_a_candidate_that_people_dislike_is_taken_back_by_its_canary_within_ten_seconds(story: Story) -> None:
    deployed = alias_of(story)["FunctionVersion"]
    story.take_back((story.stack.registry.canary() or {})["version"])
    assert (alias_of(story)["FunctionVersion"], memory_of(story, deployed)) == (deployed, MEMORY_MB + 1)
    (incident,) = story.stack.registry.rollbacks(MODEL).values()
    assert incident["seconds"] < 10
    assert incident["figures"]["feedback"]["difference"] < 0
    assert story.stack.registry.live(MODEL).version == "1"
    assert "RoutingConfig" not in alias_of(story)


def test_a_version_that_was_live_can_be_promoted_again(story: Story) -> None:
    story.promote()
    assert story.stack.registry.live(MODEL).version == "2"


def test_nothing_ended_in_a_dead_letter_queue(story: Story) -> None:
    queues = [name for name in story.stack.outputs if name.endswith("DeadLetterQueueUrl")]
    assert queues
    assert is_empty(story, *queues)


def deliver(story: Story, queue: str, bodies: list[str]) -> None:
    for body in bodies:
        story.stack.client("sqs").send_message(QueueUrl=story.stack.outputs[queue], MessageBody=body)


def is_empty(story: Story, *queues: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs = story.stack.client("sqs")
    counts = [
        sqs.get_queue_attributes(QueueUrl=story.stack.outputs[queue], AttributeNames=names)["Attributes"]
        for queue in queues
    ]
    return all(int(count[name]) == 0 for count in counts for name in names)


def snapshot(story: Story) -> dict[str, object]:
    """What must not change when something is delivered again."""
    return {
        "live": story.stack.registry.live(MODEL),
        "versions": story.stack.registry.versions(MODEL),
        "runs": list(story.stack.registry.runs()),
        "alias": alias_of(story)["FunctionVersion"],
    }


def looked(story: Story, version: str) -> list[str]:
    """What was done in a version's canary, after one more look."""
    story.stack.invoke("ReleaseFunction", {})
    return [note["what"] for note in story.record(version)["canary"]]


def parameter_of(story: Story) -> str:
    """The layer that the next deployment deploys."""
    found = story.stack.client("ssm").get_parameter(Name=story.stack.outputs["LiveLayerParameter"])
    return str(found["Parameter"]["Value"])


def memory_of(story: Story, number: str) -> int:
    """The memory of a function version in MB: it tells which deployment it is of."""
    name, functions = story.stack.outputs["InferenceFunction"], story.stack.client("lambda")
    return int(functions.get_function_configuration(FunctionName=name, Qualifier=number)["MemorySize"])


def alias_of(story: Story) -> dict[str, Any]:
    """Which function versions answer."""
    name = story.stack.outputs["InferenceFunction"]
    found: dict[str, Any] = story.stack.client("lambda").get_alias(FunctionName=name, Name="live")
    return found
