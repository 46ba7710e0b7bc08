"""The real template, deployed once for all tests that need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import LocalCloud, free_port
from local.story import Narrator, Story
from local.up import bring_up


class Collected(Narrator):
    """Keeps what is told, to be shown when a test fails."""

    def say(self, line: str) -> None:
        print(line)

    def head(self, line: str) -> None:
        print(line)


@pytest.fixture(scope="session")
def story() -> Iterator[Story]:
    """The deployment and its registered starter models; whoever asks a model adds the rows to `story.asked`."""
    with pytest.MonkeyPatch.context() as patch, LocalCloud(Path(".pawl"), port=free_port(), seed=1) as cloud:
        for name, value in cloud.environment().items():
            patch.setenv(name, value)
        yield Story(bring_up(cloud, Collected()), Collected())
