"""What shares one alias and one queue: several models, several candidates, and the same candidate delivered twice."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from tests.functional.canaries import POLICY, World

from pawl.bucket import Bucket
from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.errors import Conflict
from pawl.registry import SERVED

Offer = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Meanwhile:
    """A bucket in which something happens, once, while the candidate that is read from it is in its gates."""

    bucket: Bucket
    happens: list[Callable[[], Any]]

    def read_folder(self, prefix: str) -> dict[str, bytes]:
        if prefix.startswith("candidates/") and self.happens:
            self.happens.pop()()
        return self.bucket.read_folder(prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bucket, name)


@pytest.fixture
def offer(world: World, make_bundle: Callable[..., Bundle], dataset: FrozenDataset) -> Offer:
    """Stores a candidate as training does; its gates are open to a slow machine."""
    policy = dataclasses.replace(world.releases.policy, latency_ratio=50.0, cold_start_runs=0)
    world.releases = dataclasses.replace(world.releases, policy=policy)
    return lambda version: world.cloud.store_files(
        f"candidates/triage/{version}/", make_bundle(version, dataset.digest)
    )


def meanwhile(world: World, happens: Callable[[], Any]) -> None:
    bucket: Any = Meanwhile(world.cloud.bucket, [happens])
    world.releases = dataclasses.replace(world.releases, bucket=bucket)


def lives(world: World) -> dict[str, str]:
    return {model: world.cloud.registry.live(model).version for model in ("embed", "triage")}


def test_the_same_candidate_delivered_twice_has_one_canary_and_is_promoted(world: World, offer: Offer) -> None:
    offer("2")
    meanwhile(world, lambda: world.releases.consider("triage", "2", world.now_ms))

    record = world.releases.consider("triage", "2", world.now_ms)

    assert (record.state, record.digest != "", world.cloud.registry.waiting()) == ("canary", True, [])
    world.rate("2", 270, 30)
    world.rate("1", 270, 30)
    for _ in range(3):
        world.wait(2)
        world.look()
    assert (world.state()["live"], world.state()["parameter"]) == ("2", world.layer("2"))


def test_a_look_that_is_due_while_the_next_candidate_is_in_its_gates_changes_nothing(
    world: World, offer: Offer
) -> None:
    offer("2")
    world.cloud.registry.let_wait("triage", "2")
    meanwhile(world, world.look)

    world.look()

    assert world.record("2").state == "canary"
    assert (world.record("2").digest != "", world.cloud.registry.waiting()) == (True, [])


def test_a_rollback_waits_for_no_gate(world: World, offer: Offer) -> None:
    world.terms(at_once=True)
    world.introduce("2")
    offer("3")
    meanwhile(world, lambda: world.releases.roll_back("triage", world.now_ms))

    assert world.releases.consider("triage", "3", world.now_ms).state == "waiting"  # it was judged beside version 2
    assert world.cloud.registry.live("triage").version == "1"
    world.look()

    assert (world.record("3").state, world.cloud.registry.waiting()) == ("live", [])
    assert world.cloud.registry.live("triage").previous["version"] == "1"


def test_a_candidate_that_comes_while_what_is_live_is_changed_has_its_turn_with_the_next_look(
    world: World, offer: Offer
) -> None:
    offer("2")
    with world.cloud.registry.release_lease(SERVED, world.now_ms):
        world.app.releases = world.releases
        world.app.consider("triage", "2")
        assert world.cloud.registry.waiting() == [("triage", "2")]

    world.look()

    assert (world.record("2").state, world.cloud.registry.waiting()) == ("canary", [])


def test_a_lease_lets_nobody_in_twice_and_is_ended_by_nobody_else(world: World) -> None:
    registry = world.cloud.registry
    with registry.release_lease(SERVED, 1_000, 100):
        with pytest.raises(Conflict, match="under way"), registry.release_lease(SERVED, 1_050, 100):
            pytest.fail("two at once")
        with registry.release_lease(SERVED, 1_100, 100):
            pass
        late = registry.release_lease(SERVED, 1_101, 100)
        late.__enter__()
    with pytest.raises(Conflict), registry.release_lease(SERVED, 1_150, 100):
        pytest.fail("the first one ended the lease of the last")
    late.__exit__(None, None, None)
    with registry.release_lease(SERVED, 1_150, 100):
        pass


def test_rolling_one_model_back_leaves_the_others_as_they_are(world: World) -> None:
    world.serve_another(at_once=True)
    world.terms(at_once=True)
    world.introduce("2")
    world.introduce("2", "embed")

    world.releases.roll_back("triage", world.now_ms)

    assert world.held() == lives(world) == {"embed": "2", "triage": "1"}
    assert world.state()["parameter"] == world.layer(world.alias()[0])
    world.releases.roll_back("embed", world.now_ms)
    assert world.held() == lives(world) == {"embed": "1", "triage": "1"}
    world.releases.promote("triage", "2", world.now_ms)
    assert world.held() == lives(world) == {"embed": "1", "triage": "2"}


def test_where_no_other_model_has_moved_a_rollback_is_the_alias_alone(world: World) -> None:
    world.serve_another(at_once=True)
    world.terms(at_once=True)
    world.introduce("2")
    world.introduce("2", "embed")
    world.cloud.faults.reset()

    world.releases.roll_back("embed", world.now_ms)

    assert "lambda.PublishLayerVersion" not in world.cloud.faults.calls
    assert world.held() == lives(world) == {"embed": "1", "triage": "2"}
    assert world.state()["parameter"] == world.layer("2")


def test_a_rollback_past_another_model_that_dies_at_any_write_is_finished_by_asking_again(world: World) -> None:
    world.serve_another(at_once=True)
    world.terms(at_once=True)
    for number in range(1, 40):
        version = str(number + 1)
        world.introduce(version)
        world.introduce(version, "embed")
        world.cloud.faults.die_at(number)
        try:
            world.releases.roll_back("triage", world.now_ms)
            has_ended = True
        except world.cloud.faults.Died:
            has_ended = False
        world.cloud.faults.reset()
        world.end_lease()
        if world.cloud.registry.live("triage").version == version:
            world.releases.roll_back("triage", world.now_ms)
        assert world.held() == lives(world), number
        assert world.state()["parameter"] == world.layer(world.alias()[0]), number
        if has_ended:
            assert number > 10
            return
        world.releases.promote("triage", version, world.now_ms)
        assert world.held() == lives(world) == {"embed": version, "triage": version}, number
    pytest.fail("it never got through")


def test_what_was_deployed_after_a_release_had_died_stays_when_it_goes_on(world: World) -> None:
    world.publish("triage", "2")
    deployed = world.deploy()

    assert world.releases.consider("triage", "2", world.now_ms).state == "canary"

    assert world.alias()[0] == world.releases.trials.current().baseline == deployed


def test_another_model_released_after_a_release_had_died_stays_when_it_goes_on(world: World) -> None:
    world.serve_another(at_once=True)
    world.terms(at_once=True)
    world.publish("triage", "2")
    world.introduce("2", "embed")

    world.releases.consider("triage", "2", world.now_ms)

    assert world.held() == lives(world) == {"embed": "2", "triage": "2"}
    world.releases.roll_back("triage", world.now_ms)
    assert world.held() == lives(world) == {"embed": "2", "triage": "1"}


def test_a_candidate_of_the_same_number_as_another_models_in_its_canary_waits(world: World, offer: Offer) -> None:
    world.serve_another(**POLICY)
    world.publish("triage", "2")
    world.introduce("2", "embed")

    assert world.releases.consider("triage", "2", world.now_ms).state == "waiting"

    assert world.cloud.registry.waiting() == [("triage", "2")]
    offer("2")
    world.releases.roll_back("embed", world.now_ms)
    assert world.look().model == "triage"


def test_who_waits_again_at_the_end_of_its_gates_keeps_its_place(world: World, offer: Offer) -> None:
    world.serve_another(**POLICY)
    offer("2")
    world.cloud.registry.let_wait("triage", "2")
    meanwhile(world, lambda: world.introduce("2", "embed"))

    assert world.look().model == "embed"

    assert (world.record("2").state, world.cloud.registry.waiting()) == ("waiting", [("triage", "2")])


def test_the_layers_of_a_candidate_that_had_to_begin_again_are_removed_in_the_end(world: World, offer: Offer) -> None:
    world.serve_another(at_once=True)
    world.introduce("2", "embed")
    world.introduce("2")
    begun = world.record("2").layer_arn
    world.releases.roll_back("embed", world.now_ms)
    assert (world.record("2").state, world.record("2").left_layers) == ("waiting", [begun])
    offer("2")
    world.look()
    world.releases.promote("triage", "2", world.now_ms)

    assert world.record("2").left_layers == []
    listed = world.functions.list_layer_versions(LayerName="pawl-models")["LayerVersions"]
    assert begun not in [each["LayerVersionArn"] for each in listed]


def test_what_its_canary_took_back_is_not_made_live_by_a_word(world: World) -> None:
    world.introduce("2")
    world.rate("2", 10, 40)
    world.rate("1", 45, 5)
    world.wait(2)
    world.look()

    with pytest.raises(Conflict, match="triage 2 is rolled_back: only a retired version can be promoted"):
        world.releases.promote("triage", "2", world.now_ms)

    assert world.state()["live"] == "1"


def test_what_a_hand_stopped_in_its_canary_is_promoted_as_any_release_is(world: World) -> None:
    world.stop_by_hand()
    assert world.record("3").state == "stopped"
    world.cloud.announced()

    world.releases.promote("triage", "3", world.now_ms)

    assert world.held() == {"triage": "3"}
    assert [each["id"] for each in world.cloud.announced()] == ["released/triage/3"]
    assert world.releases.roll_back("triage", world.now_ms).version == "1"


def test_a_record_of_before_is_read_as_it_was(world: World) -> None:
    """A record that an earlier deployment stored knows nothing of what else its layer holds."""
    world.terms(at_once=True)
    world.introduce("2")
    key = {"pk": "model#triage", "sk": "version#000000001"}
    item = world.cloud.state.get_item(Key=key)["Item"]
    world.cloud.state.put_item(Item={name: item[name] for name in item if name not in ("beside", "left_layers")})

    assert world.releases.roll_back("triage", world.now_ms).version == "1"

    assert world.alias() == ("1", {})
