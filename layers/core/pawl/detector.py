"""What all detectors of concept drift share: values go in batch by batch, positions of drift come out.

A detector is its settings and a small state, both JSON (`to_dict`, `from_dict`), so that a function may forget it
between invocations; where the batches are cut changes nothing. After a drift it starts afresh with the next value.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pawl.errors import InvalidRecord, InvalidRequest

SCHEMA = 1
State = Literal["stable", "warning", "drift"]
Floats = NDArray[np.float64]
_FIRST_BLOCK = 256
_LAST_BLOCK = 65536


class Detector:
    """A detector: subclasses name their settings and state, and look at one block of values at a time.

    `seen` counts all values ever given. `state` is the last value's: `warning` only where the method has such a zone.
    """

    name: ClassVar[str]
    settings: ClassVar[tuple[str, ...]]
    memory: ClassVar[tuple[str, ...]]
    is_binary: ClassVar[bool] = False
    longest_block: int = _LAST_BLOCK

    seen: int = 0
    state: State = "stable"

    def update(self, values: ArrayLike) -> list[int]:
        """The indices into `values`, shape (rows,), at which drift was found; InvalidRequest for what cannot be."""
        column = np.asarray(values, float).ravel()
        self._check(column)
        found: list[int] = []
        start, size = 0, _FIRST_BLOCK
        while start < column.size:
            block = column[start : start + min(size, self.longest_block)]
            drift = self._advance(block)
            if drift is None:
                start, size = start + block.size, min(2 * size, _LAST_BLOCK)
            else:
                found.append(start + drift)
                start, size = start + drift + 1, _FIRST_BLOCK
                self.reset()
                self.state = "drift"
        self.seen += column.size
        return found

    def reset(self) -> None:
        """Forget all values but their number."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The detector as JSON holds it."""
        return {
            "schema": SCHEMA,
            "detector": self.name,
            "settings": {key: getattr(self, key) for key in self.settings},
            "memory": {key: getattr(self, key) for key in self.memory},
            "seen": self.seen,
            "state": self.state,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The detector that `to_dict` wrote; InvalidRecord when it was another, or another schema."""
        if (raw.get("schema"), raw.get("detector")) != (SCHEMA, cls.name):
            raise InvalidRecord(
                f"detector {raw.get('detector')!r}, schema {raw.get('schema')!r}: want {cls.name!r}, {SCHEMA}"
            )
        if set(raw["settings"]) != set(cls.settings) or set(raw["memory"]) != set(cls.memory):
            raise InvalidRecord(f"a {cls.name} of other fields: want {cls.settings} and {cls.memory}")
        detector = cls(**raw["settings"])
        for key in cls.memory:
            setattr(detector, key, raw["memory"][key])
        detector.seen, detector.state = raw["seen"], raw["state"]
        return detector

    def _advance(self, block: Floats) -> int | None:
        """Take in `block`, or what of it comes before the first drift; that drift's index."""
        raise NotImplementedError

    def _check(self, column: Floats) -> None:
        if self.is_binary and not np.isin(column, (0.0, 1.0)).all():
            raise InvalidRequest(f"{self.name} takes a stream of errors: 1 for a wrong prediction, 0 for a right one")
        if not np.isfinite(column).all():
            raise InvalidRequest(f"{self.name} takes finite numbers only")


def first(mask: NDArray[np.bool_]) -> int | None:
    """The index of the first true entry."""
    at = int(mask.argmax()) if mask.size else 0
    return at if mask.size and mask[at] else None
