"""Which new comparisons are held out: no prompt is on both sides, and nobody who asked.

Prompts that nearly repeat each other are one; what asks and who asked hang together, so whole groups of them go to a
side, in the order of their digests, while they fit the share. Whoever was on a side stays there in every later dataset;
what would have to be on both is left out. A rater is only who judges, and may be on both.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from retrain.groups import hang_together

SHARE = 0.25


class Belonging(NamedTuple):
    """What decides on a comparison's side: its prompt, by number, and all who asked, as far as they are known.

    Two answers may have been given to two people, and one person has a digest where feedback names them, and a
    pseudonym by each key under which they asked.
    """

    prompt: int
    askers: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[int | str, ...]:
        """All that must not be on both sides."""
        return (self.prompt, *self.askers)


def held_out(rows: Sequence[Belonging], learned: Iterable[Belonging], kept: Iterable[Belonging]) -> list[bool | None]:
    """Whether each row is held out, about SHARE of those that are free to be; None where it would be on both sides.

    `learned` are comparisons that the parent dataset trains on, `kept` those that it holds out.
    """
    sides = _known(learned, kept)
    together = hang_together(row.names for row in rows)
    groups = [together[row.prompt] for row in rows]
    defaults = _defaults(rows, groups, sides)
    found = list[bool | None]()
    for row, group in zip(rows, groups, strict=True):
        told = {side for name in row.names if (side := sides.get(name)) is not None}
        side = None if len(told) > 1 else next(iter(told), defaults[group])
        found.append(side)
        if side is not None:
            for name in row.names:
                sides.setdefault(name, side)
    return found


def _known(learned: Iterable[Belonging], kept: Iterable[Belonging]) -> dict[int | str, bool | None]:
    """The side of each prompt and asker of the parent; None, which binds nobody, for one that was on both."""
    found: dict[int | str, bool | None] = {name: False for row in learned for name in row.names}
    for name in {name for row in kept for name in row.names}:
        found[name] = None if name in found else True
    return found


def _defaults(
    rows: Sequence[Belonging], groups: Sequence[int], sides: Mapping[int | str, bool | None]
) -> dict[int, bool]:
    """The side of each group: what it knows of itself, else held out while it fits the share."""
    known, sizes, firsts = dict[int, set[bool]](), Counter(groups), dict[int, str]()
    for row, group in zip(rows, groups, strict=True):
        told = (sides.get(name) for name in row.names)
        known.setdefault(group, set()).update(side for side in told if side is not None)
        firsts.setdefault(group, hashlib.sha256(str(row.prompt).encode()).hexdigest())
    free = sorted((firsts[group], group) for group in sizes if not known[group])
    room = SHARE * sum(sizes[group] for _, group in free)
    found = {group: told == {True} for group, told in known.items()}
    for _, group in free:
        found[group] = sizes[group] <= room
        room -= sizes[group] if found[group] else 0
    return found
