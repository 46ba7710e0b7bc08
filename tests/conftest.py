"""How tests are shared out where they run side by side (`scripts/test`)."""

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
