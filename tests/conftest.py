"""How tests are shared out where they run side by side (`scripts/test`), and what each leaves to the next."""

import gc
from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

CLOUD = "tests/e2e/"


class OneCloud(LoadScopeScheduling):
    """What needs the local cloud goes to one process: it shares one deployment, and the story has an order."""

    def _split_scope(self, nodeid: str) -> str:
        return CLOUD if nodeid.startswith(CLOUD) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneCloud:
    return OneCloud(config, log)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Garbage is collected again, whatever a function has put off until its reply has left.

    What is still frozen when the interpreter ends is never freed: DuckDB then lists all of its own as leaked.
    """
    yield
    gc.unfreeze()
    gc.enable()
