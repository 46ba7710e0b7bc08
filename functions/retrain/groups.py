"""What hangs together: names that are in one set with each other, or in sets that share a name."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def hang_together(sets: Iterable[Sequence[Name]]) -> dict[Name, int]:
    """The group of each name, by the place at which the first of the group came.

    >>> hang_together([("ada", "x"), ("bob",), ("x", "eve")])
    {'ada': 0, 'x': 0, 'bob': 2, 'eve': 0}
    """
    places, first = dict[Name, int](), list[int]()
    for names in sets:
        for name in names:
            if name not in places:
                places[name] = len(first)
                first.append(len(first))
            one, other = _root(first, places[names[0]]), _root(first, places[name])
            first[max(one, other)] = min(one, other)
    return {name: _root(first, place) for name, place in places.items()}


def _root(first: list[int], place: int) -> int:
    while first[place] != place:
        first[place] = first[first[place]]
        place = first[place]
    return place
