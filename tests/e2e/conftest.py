"""The real template, deployed once for all tests that need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud, free_port
from local.story import Narrator, Story
from local.up import bring_up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains another model comes last: the story counts the runs and the layers of a deployment of its own."""
    items.sort(key=lambda item: item.path.name == "test_alignment.py")


class Collected(Narrator):
    """Keeps what is told, to be shown when a test fails."""

    def say(self, line: str) -> None:
        print(line)

    def head(self, line: str) -> None:
        print(line)


@pytest.fixture(scope="session")
def house() -> Iterator[LocalCloud]:
    """The local cloud, which the environment names as AWS."""
    with pytest.MonkeyPatch.context() as patch, LocalCloud(Path(".pawl"), port=free_port(), seed=1) as cloud:
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        yield cloud


@pytest.fixture(scope="session")
def story(house: LocalCloud) -> Story:
    """The deployment and its registered starter models; whoever asks a model adds the rows to `story.asked`."""
    return Story(bring_up(house, Collected()), Collected())
