"""How a part of MiniStack is replaced by ours.

A replacement of something that is no longer there would silently do nothing after an upgrade, so it fails at the start
instead and names what is gone.
"""

from importlib.metadata import version
from types import ModuleType
from typing import Any

from local.errors import AdaptationError


def replace(owner: ModuleType | type, name: str, new: Any) -> Any:
    """Puts `new` in the place of `owner.name` and returns what was there."""
    old = part(owner, name)
    setattr(owner, name, new)
    return old


def part(owner: ModuleType | type, name: str) -> Any:
    """`owner.name`, or an `AdaptationError` that names it."""
    if not hasattr(owner, name):
        raise AdaptationError(
            f"MiniStack {version('ministack')} has no {owner.__name__}.{name}, which scripts/local builds on: "
            f"install the version in constraints.txt or adapt scripts/local"
        )
    return getattr(owner, name)
