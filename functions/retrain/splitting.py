"""Which new rows are held out: nobody is on both sides, and whoever is on one stays there in every later dataset.

Whom feedback names and who asked are on one side, so whole groups of people go to one. One person may have several
names, a digest and pseudonyms. A group goes where the parent dataset has its people; new ones are held out whole, in
the order of their digests, while they fit the share, and a group of more than that is trained on. A row whose people
the parent has on different sides is left out. A row of nobody goes by the digest of its text. A rater is only who
judges, so where one has judged more than that share, their rows go by their texts.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import NamedTuple

from pawl.dataset import Row
from retrain.groups import hang_together

Splits = Mapping[str, Sequence[Row]]
RECENT_SHARE = 0.25
TRAIN, RECENT = "train", "recent"


class Belonging(NamedTuple):
    """What decides on a row's side: the key of its text, and everybody whose it is, as far as they are known."""

    key: str
    names: tuple[str, ...] = ()
    is_rater: bool = False


def held_out(
    rows: Sequence[Belonging], inherited: Splits, persons: Mapping[str, str] = MappingProxyType({})
) -> list[bool | None]:
    """Whether each new row is held out, about RECENT_SHARE of them; None where it would be on both sides.

    `persons` has one name for those that have more.
    """
    rows = [row._replace(names=_one_each(row.names, persons)) for row in rows]
    sides = _known_sides(inherited, persons)
    together = hang_together(row.names for row in rows)
    defaults = _defaults(rows, together, sides)
    found = list[bool | None]()
    for row in rows:
        default = defaults[together[row.names[0]]] if row.names else None
        if default is None:
            found.append(is_held_out_by_text(row.key))
            continue
        told = {side for name in row.names if (side := sides.get(name)) is not None}
        side = None if len(told) > 1 else next(iter(told), default)
        found.append(None if side is None else side == RECENT)
        if side is not None:
            sides.update(dict.fromkeys(row.names, side))
    return found


def is_held_out_by_text(key: str) -> bool:
    """Whether a text is held out by its own digest, so that it stays on its side whatever else there is."""
    return hashlib.sha256(key.encode()).digest()[0] < 256 * RECENT_SHARE


def _one_each(names: Sequence[str], persons: Mapping[str, str]) -> tuple[str, ...]:
    """Everybody among these by one name."""
    return tuple(dict.fromkeys(persons.get(name, name) for name in names if name))


def _known_sides(inherited: Splits, persons: Mapping[str, str]) -> dict[str, str | None]:
    """Where the parent has everybody; None, which binds nobody, for one whose rows are on both sides."""
    found: dict[str, str | None] = {}
    for side in (TRAIN, RECENT):
        for name in {name for row in inherited.get(side, []) for name in _one_each(row.whose, persons)}:
            found[name] = None if name in found else side
    return found


def _defaults(
    rows: Sequence[Belonging], together: Mapping[str, int], sides: Mapping[str, str | None]
) -> dict[int, str | None]:
    """The side of each group's rows whose people have none yet; None where its rows go by their texts."""
    sizes = Counter(together[row.names[0]] for row in rows if row.names)
    asked = {together[row.names[0]] for row in rows if row.names and not row.is_rater}
    found = _inherited_defaults(together, sides, asked)
    firsts = dict[int, str]()
    for name in sorted(together):
        firsts.setdefault(together[name], name)
    free = {group: sizes[group] for group in sorted(sizes, key=firsts.__getitem__) if group not in found}
    share = room = RECENT_SHARE * sum(free.values())
    for group, size in free.items():
        fits = size <= room
        room -= size if fits else 0
        found[group] = RECENT if fits else None if size > share and group not in asked else TRAIN
    return found


def _inherited_defaults(
    together: Mapping[str, int], sides: Mapping[str, str | None], asked: Set[int]
) -> dict[int, str | None]:
    """The same for the groups that the parent decides on."""
    known = dict[int, set[str | None]]()
    for name, group in together.items():
        if name in sides:
            known.setdefault(group, set()).add(sides[name])
    found: dict[int, str | None] = {}
    for group, told in known.items():
        if told - {None}:
            found[group] = TRAIN if TRAIN in told else RECENT
        elif group not in asked:
            found[group] = None
    return found
