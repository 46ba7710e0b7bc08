"""After a deployment the alias answers with the live models and by the settings that were deployed."""

from typing import Any

import pytest
from tests.functional.canaries import World

from pawl.errors import Conflict


def settings(world: World, qualifier: str) -> dict[str, str]:
    about = world.functions.get_function_configuration(FunctionName="inference", Qualifier=qualifier)
    return about["Environment"]["Variables"]


def deploy(world: World, **changed: str) -> None:
    """What `sam deploy` does with other settings: the function has them, and no version is published."""
    variables = {**settings(world, "$LATEST"), **changed}
    world.functions.update_function_configuration(FunctionName="inference", Environment={"Variables": variables})


def release(world: World, version: str) -> None:
    world.terms(at_once=True)
    world.introduce(version)


def test_a_receipt_key_that_was_changed_is_signed_with_from_the_deployment_on(world: World) -> None:
    layer = world.layer(world.alias()[0])
    deploy(world, RECEIPT_KEYS="2:new")

    version = world.releases.refresh()

    assert world.alias() == (version, {})
    assert (settings(world, version)["RECEIPT_KEYS"], world.layer(version)) == ("2:new", layer)
    assert world.releases.refresh() == version


def test_a_key_that_is_no_longer_trusted_is_not_once_it_is_deployed(world: World, cloud: Any) -> None:
    release(world, "2")
    release(world, "3")
    world.releases.deployment.parameters.put_parameter(
        Name=world.releases.deployment.trusted_keys_parameter, Value="other", Type="String", Overwrite=True
    )
    deploy(world, TRUSTED_KEYS="other")

    version = world.releases.refresh()
    assert settings(world, version)["TRUSTED_KEYS"] == "other"
    assert world.held()["triage"] == "3"

    world.releases.roll_back("triage", world.now_ms)
    assert settings(world, world.alias()[0])["TRUSTED_KEYS"] == "other"
    assert world.held()["triage"] == "2"


def test_a_deployment_that_failed_and_moved_the_alias_back_takes_no_model_back(world: World) -> None:
    before = world.alias()[0]
    release(world, "2")
    world.move_alias(before, {})
    assert world.layer(before) != world.state()["parameter"]

    world.releases.refresh()

    assert world.held()["triage"] == "2"
    assert world.layer(world.alias()[0]) == world.state()["parameter"]


def test_nothing_is_published_where_all_is_as_it_should_be_and_nothing_in_the_middle_of_a_canary(world: World) -> None:
    release(world, "2")
    assert world.releases.refresh() == world.alias()[0]
    world.terms()
    world.introduce("3")
    both = world.alias()
    assert world.releases.refresh() == both[0]

    deploy(world, RECEIPT_KEYS="2:new")
    with pytest.raises(Conflict, match="canary is under way"):
        world.releases.refresh()
    assert world.alias() == both
