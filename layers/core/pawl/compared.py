"""What tells one comparison of answers from all others, in whatever order they are named.

Feedback that compares lies under `<uuid of its newest answer>#<metric>.<apart>#<rater>`, so that a rater's later word
on the same answers takes the place of the first; gold pairs are found again by the same.
"""

import hashlib
from collections.abc import Iterable


def apart(named: Iterable[str]) -> str:
    """The digest of the answers compared: their uuids where they have receipts, else their texts.

    >>> apart(["one", "other"]) == apart(["other", "one"])
    True
    """
    return hashlib.sha256("\0".join(sorted(named)).encode()).hexdigest()[:16]


def pair_of(sort_key: str) -> str:
    """The comparison in the key of a piece of feedback: all of it but the rater, whose name may hold anything.

    >>> pair_of("018b#preference.9f86#ada#1")
    '018b#preference.9f86'
    """
    return "#".join(sort_key.split("#", 2)[:2])
