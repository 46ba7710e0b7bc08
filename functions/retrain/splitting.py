"""Which new rows are held out: nobody is on both sides, and whoever is on one stays there in every later dataset.

One person may have several names, a digest and pseudonyms. A row without a subject goes by the digest of its text. A
subject goes where the parent dataset has them; new ones are held out whole, in the order of their digests, while they
fit the share. A rater is only who judges, so where one has judged more than that share, their rows go by their texts; a
subject of that size is trained on.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pawl.dataset import Row

Splits = Mapping[str, Sequence[Row]]
RECENT_SHARE = 0.25
TRAIN, RECENT = "train", "recent"


class Belonging(NamedTuple):
    """What decides on a row's side: the key of its text, and its subject, if one is known."""

    key: str
    subject: str = ""
    is_rater: bool = False


def held_out(
    rows: Sequence[Belonging], inherited: Splits, persons: Mapping[str, str] = MappingProxyType({})
) -> list[bool]:
    """Whether each new row is held out, about RECENT_SHARE of them; `persons` has one name for those that have more."""
    rows = [row._replace(subject=persons.get(row.subject, row.subject)) for row in rows]
    sides = _sides(rows, inherited, persons)
    return [
        is_held_out_by_text(row.key) if (side := sides.get(row.subject)) is None else side == RECENT for row in rows
    ]


def is_held_out_by_text(key: str) -> bool:
    """Whether a text is held out by its own digest, so that it stays on its side whatever else there is."""
    return hashlib.sha256(key.encode()).digest()[0] < 256 * RECENT_SHARE


def _sides(rows: Sequence[Belonging], inherited: Splits, persons: Mapping[str, str]) -> Mapping[str, str | None]:
    """The side of each subject; None where their rows go by their texts."""
    known = _known_sides(inherited, persons)
    sizes = Counter(row.subject for row in rows if row.subject and row.subject not in known)
    subjects = {row.subject for row in rows if not row.is_rater}
    share = RECENT_SHARE * sizes.total()
    found: dict[str, str | None] = dict(known)
    room = share
    for subject, size in sorted(sizes.items()):
        fits = size <= room
        room -= size if fits else 0
        by_text = size > share and subject not in subjects
        found[subject] = RECENT if fits else None if by_text else TRAIN
    return found


def _known_sides(inherited: Splits, persons: Mapping[str, str]) -> dict[str, str | None]:
    """Where the parent has each subject; None for one whose rows went by their texts."""
    found: dict[str, str | None] = {}
    for side in (TRAIN, RECENT):
        for subject in {persons.get(row.subject, row.subject) for row in inherited.get(side, []) if row.subject}:
            found[subject] = None if subject in found else side
    return found
