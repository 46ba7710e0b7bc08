"""Which products of a graph bear few bits badly, and how many of them must have more for the answers to stay.

Each product is stored in 4-bit blocks alone, and the graph's first float output is compared with the float graph's (as
HAWQ, Dong et al. 2019, ranks layers, by the output itself in place of a curvature). Then as few as possible, the most
sensitive first, get 8 bits: halving finds the number, since more bits never make it worse by more than chance.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from training.blocks import Scheme
from training.products import EIGHT, FOUR, Feed, store_products

LIMIT = 0.01
"""The largest share of the output's own variance that its error may come to."""
LOOKED_AT = 16
"""Sample inputs that are run for each product."""


def spend(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Feed], limit: float = LIMIT
) -> dict[str, Scheme]:
    """A scheme for each product in `names`: 8-bit blocks for as few as keep that output within `limit`."""
    feeds = feeds[:LOOKED_AT]
    wanted = _outputs(model, feeds)
    ranks = rank(model, names, feeds, wanted)
    low, high = 0, len(ranks)
    while low < high:
        middle = (low + high) // 2
        if error(wanted, _outputs(_stored(model, schemes_of(ranks, middle)), feeds)) <= limit:
            high = middle
        else:
            low = middle + 1
    return schemes_of(ranks, low)


def schemes_of(ranks: Sequence[str], eights: int) -> dict[str, Scheme]:
    """8 bits for the first `eights` of the products, 4 for the others."""
    return {name: EIGHT if place < eights else FOUR for place, name in enumerate(ranks)}


def rank(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Feed], wanted: Sequence[NDArray[np.float64]]
) -> list[str]:
    """Products by what 4 bits of them alone do to the output, the most sensitive first; of equals the first named."""
    errors = {name: error(wanted, _outputs(_stored(model, {name: FOUR}), feeds)) for name in names}
    return sorted(names, key=lambda name: -errors[name])


def error(wanted: Sequence[NDArray[np.float64]], got: Sequence[NDArray[np.float64]]) -> float:
    """Mean squared difference as a share of the wanted outputs' variance.

    >>> error([np.array([0.0, 2.0])], [np.array([0.0, 1.0])])
    0.5
    """
    one, other = (np.concatenate([each.ravel() for each in outputs]) for outputs in (wanted, got))
    return float(np.square(one - other).mean() / max(float(one.var()), 1e-12))


def _stored(model: onnx.ModelProto, schemes: Mapping[str, Scheme]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    store_products(changed.graph, schemes)
    return changed


def _outputs(model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[NDArray[np.float64]]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = next(each.name for each in session.get_outputs() if each.type == "tensor(float)")
    return [np.asarray(session.run([name], dict(feed))[0], np.float64) for feed in feeds]
