"""Detectors of concept drift in a stream of errors or other values, and how a kept one is taken up again.

>>> detector = DDM()
>>> detector.update([0, 1] * 200 + [1] * 200)
[444]
>>> restore(detector.to_dict()).update([1, 1])
[]
"""

from collections.abc import Mapping
from typing import Any

from pawl.control import DDM, EDDM, PageHinkley
from pawl.detector import Detector
from pawl.errors import InvalidRecord
from pawl.windows import ADWIN, KSWIN

DETECTORS: dict[str, type[Detector]] = {each.name: each for each in (PageHinkley, DDM, EDDM, ADWIN, KSWIN)}

__all__ = ["ADWIN", "DDM", "DETECTORS", "EDDM", "KSWIN", "Detector", "PageHinkley", "restore"]


def restore(raw: Mapping[str, Any]) -> Detector:
    """The detector that `to_dict` wrote, of whatever kind; InvalidRecord for one that is not known."""
    kind = DETECTORS.get(str(raw.get("detector")))
    if kind is None:
        raise InvalidRecord(f"detector {raw.get('detector')!r}: want one of {', '.join(sorted(DETECTORS))}")
    return kind.from_dict(raw)
