"""A candidate's canary as the release function drives it: time, feedback and the alias in, what becomes of them out.

The clock stands still between looks. Feedback and profiles lie where `feedback` and `collect` leave them.
"""

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from tests.functional.canaries import MINUTE_MS, World

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.errors import Conflict
from pawl.identity import day_of, isoformat, uuid7_hex
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from pawl.versions import VersionRecord
from release.deployment import layer_archive

STARTER = {"live": "1", "main": "1", "weights": {}, "parameter": "starter", "latest": True, "canary": False}


def test_a_candidate_that_has_passed_gets_its_first_share_and_nothing_else_moves(world: World) -> None:
    world.introduce("2")

    assert world.state() == {**STARTER, "weights": {"2": 0.1}, "canary": True}
    assert (world.record("2").state, world.whats("2")) == ("canary", ["started"])
    (announced,) = world.cloud.announced()
    assert (announced["type"], announced["id"]) == ("CanaryStarted", "canary/triage/2")


def test_a_canary_begins_when_its_gates_have_ended(world: World) -> None:
    layer = world.releases.deployment.publish_layer("layers/triage-2.zip", layer_archive({}), "triage 2")
    record = VersionRecord("triage", "2", "candidate", "d" * 64, layer_arn=layer, replaces="1")

    world.releases._introduce(record, world.now_ms - 40_000)

    trial = world.releases.trials.current()
    assert {trial.began_ms, trial.step_began_ms, *trial.until_ms.values()} == {world.now_ms}


def test_what_is_as_good_goes_through_its_steps_to_the_end(world: World) -> None:
    world.introduce("2")
    world.cloud.announced()
    world.rate("2", 270, 30)
    world.rate("1", 270, 30)
    world.wait(2)

    world.look()
    assert world.state() == {**STARTER, "weights": {"2": 0.5}, "canary": True}
    world.wait(2)
    world.look()

    released = world.state()
    assert (released["live"], released["main"], released["weights"]) == ("2", "2", {})
    assert (released["parameter"], released["latest"], released["canary"]) == (world.layer("2"), True, False)
    record = world.record("2")
    assert (record.state, world.whats("2")) == ("live", ["started", "next step", "promoted"])
    assert record.canary[-1]["figures"]["feedback"]["answers"] == [300, 300]
    assert record.canary[-1]["because"].startswith("no worse than live by the margin: feedback +0.0000 on 300 answers")
    assert world.record("1").state == "retired"
    live = world.cloud.registry.live("triage")
    assert (live.reason, live.previous["version"]) == (record.canary[-1]["because"], "1")
    assert [each["id"] for each in world.cloud.announced()] == ["released/triage/2"]


def test_what_people_find_worse_is_taken_back_at_once_with_an_incident(world: World) -> None:
    world.introduce("2")
    world.cloud.announced()
    world.rate("2", 10, 40)
    world.rate("1", 45, 5)
    world.wait(2)

    world.look()

    assert world.state() == STARTER
    assert (world.record("2").state, world.whats("2")) == ("rolled_back", ["started", "rolled back"])
    (incident,) = world.cloud.registry.rollbacks("triage").values()
    assert (incident["version"], incident["live"], incident["weight"]) == ("2", "1", 0.1)
    assert incident["opened_at"] == incident["restored_at"] == isoformat(world.now_ms)
    (announced,) = world.cloud.announced()
    assert (announced["type"], announced["id"]) == ("ReleaseRolledBack", "rolled-back/triage/2")
    assert announced["data"]["sentence"].startswith(
        "The canary of triage 2 was rolled back at 10% of the traffic: worse"
    )
    assert (announced["data"]["from"], announced["data"]["to"]) == ("2", "1")


def test_the_incident_ends_when_a_later_version_is_live(world: World) -> None:
    world.introduce("2")
    world.rate("2", 10, 40)
    world.rate("1", 45, 5)
    world.wait(2)
    world.look()
    world.terms(at_once=True)

    world.introduce("3")

    assert world.cloud.registry.rollbacks("triage")["2"]["closed_because"] == "version 3 is live"


def test_an_answer_counts_once_however_often_one_looks_and_however_many_rate_it(world: World) -> None:
    world.introduce("2")
    world.rate("2", 5, 0)
    world.said -= 5
    world.rate("2", 0, 5, metric="label")  # without a note of the answer a label says nothing
    world.rate("1", 3, 1)
    for _ in range(4):
        world.wait(2)
        world.look()

    assert world.releases.trials.current().figures()["feedback"]["answers"] == [5, 4]


def test_a_label_counts_by_what_was_answered(world: World) -> None:
    world.introduce("2")
    uuid = uuid7_hex(world.now_ms, bytes(10))
    note = {"label": ["billing", "other"], "confidence": [0.9, 0.8]}
    world.releases.trials.evidence.notes.claim(uuid, "batch", world.now_ms, note)
    item = {"pk": f"triage#{day_of(world.now_ms)}", "sk": f"{uuid}#label#ada", "metric": "label", "model_version": "2"}
    item |= {"value": ["billing", "account"], "given_at": isoformat(world.now_ms)}
    world.cloud.feedback_items.put_item(Item=item)
    world.wait(2)

    world.look()

    feedback = world.releases.trials.current().comparisons["feedback"]
    assert feedback.pending[0].tolist() == [1.0, 0.5, 0.25]


def test_what_was_said_too_late_counts_for_neither_arm(world: World) -> None:
    world.introduce("2")
    uuid = uuid7_hex(world.now_ms, bytes(10))
    item = {"pk": f"triage#{day_of(world.now_ms)}", "sk": f"{uuid}#thumbs_up#ada", "metric": "thumbs_up"}
    late = isoformat(world.now_ms + MINUTE_MS)
    world.cloud.feedback_items.put_item(Item={**item, "model_version": "2", "value": True, "given_at": late})
    world.wait(2)

    world.look()

    assert "feedback" not in world.releases.trials.current().figures()


def test_two_looks_within_a_minute_are_one(world: World) -> None:
    world.introduce("2")
    world.wait(2)
    world.look()
    world.rate("2", 3, 0)
    world.now_ms += 59_000
    world.cloud.faults.reset()

    world.look()

    assert world.cloud.faults.writes == []


def test_what_answers_much_more_slowly_is_taken_back(world: World) -> None:
    world.introduce("2")
    for _ in range(3):
        world.answer("1", {"latency_ms": [5.0 + n / 50 for n in range(50)]})
        world.answer("2", {"latency_ms": [25.0] * 50})
        world.wait(2)
        world.look()

    assert world.state() == STARTER
    assert "worse than live: speed -1.0000 on" in world.record("2").canary[-1]["because"]


def test_what_is_slow_is_known_from_few_answers_of_many_looks(world: World) -> None:
    world.introduce("2")
    for _ in range(6):
        world.answer("1", {"latency_ms": [5.0 + n / 50 for n in range(20)]})
        world.answer("2", {"latency_ms": [200.0] * 20})
        world.wait(2)
        world.look()

    assert "worse than live: speed -1.0000 on" in world.record("2").canary[-1]["because"]


def test_each_minute_of_failures_is_asked_for_once_through_all_steps(world: World) -> None:
    """CloudWatch begins with the whole minute that a moment lies in."""
    asked: list[tuple[float, float]] = []

    class Clock:
        def get_metric_data(self, *, StartTime: datetime, EndTime: datetime, **_: Any) -> dict[str, Any]:
            asked.append((StartTime.timestamp() // 60, EndTime.timestamp() / 60))
            return {"MetricDataResults": []}

    failures = dataclasses.replace(world.releases.trials.evidence.failures, client=Clock())
    evidence = dataclasses.replace(world.releases.trials.evidence, failures=failures)
    trials = dataclasses.replace(world.releases.trials, evidence=evidence)
    world.releases = dataclasses.replace(world.releases, trials=trials)
    world.terms(weights=[0.1, 0.2, 0.5], longest_step_hours=0.1)
    world.now_ms += 17_345
    world.introduce("2")
    for _ in range(8):
        world.wait(4.3)
        world.look()

    assert len(asked) > 6
    assert all(before[1] == after[0] for before, after in pairwise(asked))
    assert world.whats("2").count("next step") == 2


def test_what_fails_more_often_is_taken_back(world: World) -> None:
    cloudwatch = boto3.client("cloudwatch")
    world.introduce("2")
    world.wait(1)
    moment = world.now_ms // 1000 + 1
    alias = {"FunctionName": "inference", "Resource": "inference:live"}
    for version, invoked, failed in (("1", 100.0, 0.0), ("2", 50.0, 20.0)):
        for namespace, name, value, about in (
            ("AWS/Lambda", "Invocations", invoked, {**alias, "ExecutedVersion": version}),
            ("Pawl", "AnswersFailed", failed, {"function": "inference", "version": version}),
        ):
            dimensions = [{"Name": key, "Value": of} for key, of in about.items()]
            data = {"MetricName": name, "Dimensions": dimensions, "Timestamp": moment, "Value": value}
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=[data])
    world.wait(6)

    world.look()

    assert world.state() == STARTER
    assert "worse than live: answered -0.4000 on 50 answers against 100" in world.record("2").canary[-1]["because"]


def test_what_answers_otherwise_more_often_than_the_terms_allow_is_taken_back(world: World) -> None:
    world.introduce("2")
    for _ in range(4):
        world.answer("1", {"label": ["billing"] * 40 + ["account"] * 40})
        world.answer("2", {"label": ["other"] * 40})
        world.wait(2)
        world.look()

    assert world.state() == STARTER
    assert "worse than live: agreement -1.0000" in world.record("2").canary[-1]["because"]


def test_what_was_made_from_data_unlike_the_traffic_is_taken_back(
    world: World, make_bundle: Callable[..., Bundle], dataset: FrozenDataset
) -> None:
    world.cloud.store_files("models/triage/2/", make_bundle("2", dataset.digest))
    sure = Profile.of({"confidence": [0.9 + n / 1000 for n in range(100)]}, FEATURE_RANGES)
    world.cloud.bucket.write("models/triage/2/reference.json", sure.to_json().encode())
    world.introduce("2")
    for _ in range(2):
        for version in ("1", "2"):
            world.answer(version, {"confidence": [0.8] * 50})
        world.wait(2)
        world.look()

    assert world.state() == STARTER
    assert "worse than live: familiarity -1.0000 on 50 answers against 50" in world.record("2").canary[-1]["because"]


def test_what_is_usual_to_the_versions_is_read_once_a_canary_and_a_version_without_a_reference_has_no_such_figure(
    world: World,
) -> None:
    world.introduce("2")
    for version in ("1", "2"):
        world.answer(version, {"confidence": [0.8] * 50})
    world.wait(2)
    assert world.look().usual == ({}, {})
    world.wait(2)
    world.cloud.faults.reset()

    trial = world.look()

    assert "s3.GetObject" not in world.cloud.faults.calls
    assert "familiarity" not in trial.figures()


def test_without_a_word_of_feedback_a_person_is_asked_once_when_time_is_up(world: World) -> None:
    world.introduce("2")
    world.cloud.announced()
    for _ in range(12):
        world.wait(150)
        world.look()

    assert world.state() == {**STARTER, "weights": {"2": 0.5}, "canary": True}
    (asked,) = world.cloud.announced()
    assert (asked["type"], asked["id"]) == ("CanaryUndecided", "undecided/triage/2")
    assert asked["data"]["sentence"].endswith("Decide it: pawl promote triage 2, or pawl rollback triage.")


def test_one_who_was_asked_promotes(world: World) -> None:
    world.introduce("2")

    live = world.releases.promote("triage", "2", world.now_ms)

    assert (live.version, live.reason) == ("2", "a person promoted it")
    assert world.state() == {**STARTER, "live": "2", "main": "2", "parameter": world.layer("2")}
    assert world.whats("2") == ["started", "promoted"]


def test_one_who_was_asked_takes_it_back_and_what_is_live_stays(world: World) -> None:
    world.introduce("2")
    world.cloud.announced()

    live = world.releases.roll_back("triage", world.now_ms)

    assert (live.version, world.state()) == ("1", STARTER)
    assert world.record("2").state == "rolled_back"
    (announced,) = world.cloud.announced()
    assert (announced["type"], announced["data"]["state"]) == ("CanaryStopped", "rolled_back")


def test_a_deployment_in_the_middle_puts_both_arms_on_its_code_and_the_canary_goes_on(world: World) -> None:
    world.introduce("2")
    world.rate("2", 20, 2)
    world.rate("1", 20, 2)
    deployed = world.deploy()
    world.wait(2)

    trial = world.look()

    assert world.state() == {**STARTER, "main": deployed, "weights": {trial.function_version: 0.1}, "canary": True}
    assert world.layer(trial.function_version) == trial.layer_arn
    about = world.functions.get_function_configuration(FunctionName="inference", Qualifier=trial.function_version)
    new = world.functions.get_function_configuration(FunctionName="inference", Qualifier=deployed)
    assert about["MemorySize"] == new["MemorySize"]
    assert world.whats("2") == ["started", "deployed"]
    assert trial.figures()["feedback"]["answers"] == [22, 22]


def test_after_a_deployment_in_the_middle_a_rollback_keeps_the_code_that_was_deployed(world: World) -> None:
    world.introduce("2")
    deployed = world.deploy()
    world.wait(2)
    world.look()
    world.rate("2", 10, 40)
    world.rate("1", 45, 5)
    world.wait(2)

    world.look()

    assert world.state() == {**STARTER, "main": deployed}


def test_a_hand_that_takes_its_traffic_is_obeyed_and_a_person_is_asked(world: World) -> None:
    world.introduce("2")
    world.cloud.announced()
    world.move_alias("1", {})
    world.wait(2)

    world.look()

    assert world.state() == {**STARTER, "canary": True}
    assert world.record("2").canary[-1]["because"] == "by hand the alias gives it 0% instead of 10%"
    assert [each["type"] for each in world.cloud.announced()] == ["CanaryUndecided"]


@pytest.mark.parametrize(("main", "weights"), [("1", {"2": 0.9}), ("2", {}), ("1", {"3": 0.5})])
def test_a_hand_that_gives_more_than_was_proved_is_put_back(world: World, main: str, weights: dict[str, float]) -> None:
    world.deploy()  # a version 2 of before, so that what a hand may name is there
    world.move_alias("1", {})
    world.introduce("2")
    numbers = {"1": "1", "2": "3", "3": "2"}
    world.move_alias(numbers[main], {numbers[each]: share for each, share in weights.items()})
    world.wait(2)

    world.look()

    assert world.state() == {**STARTER, "weights": {"3": 0.1}, "canary": True}
    assert world.whats("2") == ["started", "put back"]


def test_a_hand_that_goes_back_to_an_earlier_version_is_followed_by_pointer_and_parameter(world: World) -> None:
    world.stop_by_hand()

    assert world.state() == STARTER
    assert {number: world.record(number).state for number in "123"} == {"1": "live", "2": "retired", "3": "stopped"}
    assert world.cloud.registry.live("triage").reason == "by hand the alias was moved to function version 1"


def test_a_second_candidate_waits_and_the_newest_that_waits_is_next(
    world: World, make_bundle: Callable[..., Bundle], dataset: FrozenDataset
) -> None:
    world.introduce("2")
    for version in ("3", "4"):
        world.cloud.store_files(f"candidates/triage/{version}/", make_bundle(version, dataset.digest))
        assert world.releases.consider("triage", version, world.now_ms).state == "waiting"
    assert world.releases.consider("triage", "2", world.now_ms).state == "canary"
    policy = dataclasses.replace(world.releases.policy, latency_ratio=50.0, cold_start_runs=0)
    world.releases = dataclasses.replace(world.releases, policy=policy)
    world.releases.roll_back("triage", world.now_ms)
    world.wait(2)

    trial = world.look()

    assert (trial.version, world.record("3").state, world.record("4").state) == ("4", "superseded", "canary")
    assert world.cloud.registry.waiting() == []


def test_where_the_terms_say_so_the_next_candidate_takes_the_place_of_one_in_its_canary(
    world: World, make_bundle: Callable[..., Bundle], dataset: FrozenDataset
) -> None:
    world.terms(another="supersede")
    world.introduce("2")
    world.cloud.store_files("candidates/triage/3/", make_bundle("3", dataset.digest))
    policy = dataclasses.replace(world.releases.policy, latency_ratio=50.0, cold_start_runs=0)
    world.releases = dataclasses.replace(world.releases, policy=policy)

    record = world.releases.consider("triage", "3", world.now_ms)

    assert (record.state, world.record("2").state) == ("canary", "superseded")
    assert world.state() == {**STARTER, "weights": {"3": 0.1}, "canary": True}


def test_terms_that_cannot_be_read_refuse_the_candidate_and_say_why(
    world: World, make_bundle: Callable[..., Bundle], dataset: FrozenDataset
) -> None:
    world.cloud.bucket.write("models/triage/canary.json", b'{"wieghts": [0.1]}')
    world.cloud.store_files("candidates/triage/2/", make_bundle("2", dataset.digest))

    record = world.releases.consider("triage", "2", world.now_ms)

    gates = {gate["name"]: gate["measured"] for gate in record.gates if not gate["passed"]}
    assert record.state == "refused"
    assert gates["canary"].startswith("canary.json: no field wieghts: want some of ")


def test_new_terms_do_not_move_the_bar_of_a_canary_under_way(world: World) -> None:
    world.introduce("2")
    world.terms(weights=[0.9])

    assert world.releases.trials.current().policy.weights == (0.1, 0.5)


def test_old_versions_are_collected_but_none_that_is_needed(world: World) -> None:
    world.terms(at_once=True, rollback_depth=2)
    for number in range(2, 8):
        world.introduce(str(number))
        world.wait(1)

    left = {each.version for each in world.releases.deployment.published()}
    states = {str(number): world.record(str(number)).state for number in range(1, 8)}
    assert left == {"1", "5", "6", "7"}  # 1 is the template's own
    assert states == {
        "1": "retired",
        **dict.fromkeys("234", "collected"),
        **dict.fromkeys("56", "retired"),
        "7": "live",
    }
    layers = boto3.client("lambda").list_layer_versions(LayerName="pawl-models")["LayerVersions"]
    assert sorted(each["Version"] for each in layers) == [1, 5, 6, 7]
    with pytest.raises(Conflict, match="3 is collected"):
        world.releases.promote("triage", "3", world.now_ms)
    assert world.releases.roll_back("triage", world.now_ms).version == "6"


def test_the_api_shows_the_canary_under_way(world: World, rest: Callable[..., Any], body_of: Any, context: Any) -> None:
    world.introduce("2")

    event = rest("GET", "/releases/{model}", None, sender="operator", model="triage")
    shown = body_of(world.app.handler(event, context))["canary"]

    assert (shown["version"], shown["phase"], shown["weight"], shown["because"]) == (
        "2",
        "step",
        0.1,
        "all gates passed",
    )


def test_the_schedule_takes_the_canary_forward_and_counts_a_rollback(
    world: World, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    world.now_ms = world.app.now_ms() - 10 * MINUTE_MS
    world.introduce("2")
    world.rate("2", 10, 40)
    world.rate("1", 45, 5)
    due = {"Records": [{"body": json.dumps({"detail-type": "CanaryDue", "source": "pawl.schedule", "detail": {}})}]}

    assert world.app.handler(due, context) == {"batchItemFailures": []}

    assert world.state() == STARTER
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CanaryRolledBack" in line]
    assert [each["service"] for each in counted] == ["release"]


def test_a_look_without_a_canary_reads_two_items_and_writes_nothing(world: World) -> None:
    world.cloud.faults.reset()

    assert world.look() is None

    assert world.cloud.faults.calls == ["dynamodb.GetItem", "dynamodb.Query", "dynamodb.GetItem"]


FEWEST_WRITES = 6
ENDS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "started": ((0, 0), {"state": "canary", "announced": ["canary"]}),
    "next step": ((12, 0), {"state": "canary", "announced": []}),
    "promoted": ((12, 0), {"state": "live", "announced": ["released"]}),
    "rolled back": ((0, 12), {"state": "rolled_back", "announced": ["rolled-back"]}),
    "stopped": ((0, 0), {"state": "rolled_back", "announced": ["stopped"]}),
    "deployed": ((0, 0), {"state": "canary", "announced": []}),
}


def bring_to(world: World, end: str, version: str) -> Callable[[], Any]:
    """Take a new candidate to just before an end; what is left is the act in which it dies."""
    weights = [0.1, 0.5] if end == "next step" else [0.1]
    world.terms(weights=weights, step_hours=0.03, margin=0.8, smallest_sample=10, rollback_depth=2)
    if end == "started":
        return lambda: world.introduce(version)
    world.introduce(version)
    (good, bad), _ = ENDS[end]
    world.rate(version, good, bad)
    world.rate(world.cloud.registry.live("triage").version, good + bad, 0)
    if end == "deployed":
        world.deploy()
    world.wait(2)
    return (lambda: world.releases.roll_back("triage", world.now_ms)) if end == "stopped" else world.look


def end_quietly(world: World) -> None:
    """Make room for the next round."""
    world.end_lease()
    if world.cloud.registry.canary():
        world.releases.roll_back("triage", world.now_ms)
    world.cloud.announced()


@pytest.mark.parametrize(
    ("end", "way"),
    [*((end, "die_at") for end in sorted(ENDS)), ("promoted", "fail_after"), ("rolled back", "fail_after")],
)
def test_a_crash_at_any_call_leaves_what_the_next_look_brings_to_the_same_end(world: World, end: str, way: str) -> None:
    """Each round dies one write later: before it, or once it was done and only its answer was lost.

    What dies before a read leaves what it leaves when it dies before the write that follows.
    """
    wanted = ENDS[end][1]
    for number in range(1, 200):
        version = str(number + 1)
        act = bring_to(world, end, version)
        world.cloud.announced()
        getattr(world.cloud.faults, way)(number)
        try:
            act()
            has_ended = True
        except (world.cloud.faults.Died, EndpointConnectionError):
            has_ended = False
        where = (number, world.cloud.faults.writes[-1:])
        world.cloud.faults.reset()
        if not has_ended:
            finish(world, act, end)

        assert_settled(world, version, wanted["state"], where)
        announced = {each["id"].split("/")[0] for each in world.cloud.announced()}
        assert announced == set(wanted["announced"]), where
        if has_ended:
            assert number > FEWEST_WRITES
            return
        end_quietly(world)
    pytest.fail("it never got through")


def finish(world: World, act: Callable[[], Any], end: str) -> None:
    """What comes again once the lease has run out: the arrival of a candidate, a person's command, or the schedule."""
    world.end_lease()
    is_on = world.cloud.registry.canary() is not None
    if (end == "started" and not is_on) or (end == "stopped" and is_on):
        act()
    world.look()
    world.look()


def assert_settled(world: World, version: str, state: str, where: Any) -> None:
    """Alias, parameter, registry and the canary's item mean the same."""
    found, live = world.state(), world.cloud.registry.live("triage")
    trial = world.releases.trials.current()
    assert world.record(version).state == state, where
    assert found["live"] == (version if state == "live" else live.version), where
    assert found["parameter"] == live.layer_arn, where
    assert found["latest"], where
    assert (trial is not None) == (state == "canary"), where
    if trial is None:
        assert found["weights"] == {}, where
    else:
        assert trial.is_settled, where
        assert (found["main"], found["weights"]) == (trial.baseline, {trial.function_version: trial.weight}), where
    if live.function_version and state == "live":
        assert found["main"] == live.function_version, where
    states = [each.state for each in world.cloud.registry.versions("triage")]
    assert states.count("live") == 1, where
