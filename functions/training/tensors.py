"""The recipe for models of any other kind: tensors go in and come out, and nothing is known of what they mean.

    source -> float graph, checked -> parity with the source -> weights stored in several ways -> the best -> bundle

Without data the weights stay float: what they lose by fewer bits could not be told. With data, half of the rows
(every other one) calibrate, and the rest judges.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization.shape_inference import quant_pre_process

from pawl.bundle import Bundle, seal
from pawl.errors import InvalidBundle, UnsupportedRequest
from pawl.expectation import ExpectedError
from pawl.model import open_session
from pawl.profile import Profile
from pawl.tensors import KIND, TensorModel
from training.adversary import under_attack
from training.export import GRAPH, WEIGHTS, optimize
from training.graphs import check_operators, inputs_of, invented, run, signature
from training.importing import Imported, open_source
from training.origin import Origin
from training.pareto import FILE as PICTURE
from training.pareto import draw
from training.products import Feed
from training.quantize import MULTIPLYING, WAYS, quantize
from training.search import Budget, Judgement, Point, Trial, choose, place_of_chosen, search
from training.tables import Rows, read_rows
from training.tensors_card import write_tensors_card

AUTO = "auto"
TOLERANCE = 1e-4
"""Largest difference from the source, as a share of the output's spread, that a row of the float graph may show."""
STRAYING = 0.01
"""Share of rows that may show more: trees compare in float32 what they learned in float64."""
CALIBRATING = 256
"""Most rows that calibrate."""
ERRORS = "errors.json"
"""Beside the reference: what a check tells the error to expect by."""
LIMIT_S = 120.0
"""How long ways are tried."""
JUDGED = 2000
"""Most rows that judge."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned."""

    data: str = ""
    """A file of rows (`training.tables`): they calibrate, judge, and are what traffic is compared with."""
    label: str = ""
    """The column of the true answers in it, if it has one."""
    quantize: str = AUTO
    """How weights are stored: a name of `training.quantize`, or `auto`: the smallest that keeps the quality."""
    lost_points: float = 0.5
    """Hundredths of quality that `auto` may lose."""
    latency_share: float = 1.5
    """Of the float graph's latency that `auto` may take: bytes are saved, but some graphs are slower by it."""


def package(source: str, origin: Origin, knobs: Knobs, folder: Path) -> Bundle:
    """Leave a sealed bundle of the model that `source` names in the empty `folder`."""
    if knobs.quantize not in (AUTO, *WAYS):
        raise UnsupportedRequest(f"quantize {knobs.quantize!r}: want {AUTO}, {', '.join(WAYS)}")
    imported = open_source(source)
    check_operators(imported.graph, GRAPH)
    taken = inputs_of(imported.graph)
    rows = read_rows(Path(knobs.data), taken, knobs.label) if knobs.data else None
    feed = rows.of(slice(0, JUDGED)).feed if rows else _twice(imported.feed or invented(taken))
    inputs, outputs = signature(imported.graph, feed)
    difference = parity(imported, feed)
    with TemporaryDirectory() as scratch:
        points, chosen = compress(imported.graph, rows, knobs, Path(scratch))
        for path in chosen.iterdir():
            copyfile(path, folder / path.name)
    served = next(point for point in points if point.is_chosen)
    about: dict[str, Any] = {
        "name": origin.name,
        "version": origin.version,
        "kind": KIND,
        "created_at": origin.created_at,
        "inputs": inputs,
        "outputs": outputs,
        "labels": list(imported.labels),
        "max_tokens": 0,
        "quantization": {"weights": served.name, "optimized_for": "any CPU", "onnxruntime": ort.__version__},
        "lineage": origin.lineage(),
    }
    metrics: dict[str, Any] = {
        "made_of": imported.made_of,
        "float_difference": difference,
        "quality_of": quality_of(rows),
        "compression": [point.to_dict() for point in points],
        "bytes_ratio": round(served.bytes / points[0].bytes, 4),
    }
    if rows:
        model = TensorModel(seal(folder, **about, metrics={}))  # sealed for the profile; sealed again below
        judged = rows.of(slice(0, JUDGED))
        answer = model.predict(judged.feed)
        features = answer.features()
        (folder / "reference.json").write_text(Profile.of(features).to_json(), encoding="utf-8")
        if (expected := expected_error(features, answer.outputs, judged.labels)) is not None:
            (folder / ERRORS).write_text(json.dumps(expected.to_dict()), encoding="utf-8")
        metrics["robustness"] = under_attack(imported.module, model, rows)
    write_tensors_card(folder / "card.md", about, metrics)
    if len(points) > 1:
        (folder / PICTURE).write_bytes(draw(points))
    return seal(folder, **about, metrics=metrics)


def parity(imported: Imported, feed: Feed) -> float | None:
    """How far the graph is off from its source, as a share of each output's spread; None where only the graph is known.

    InvalidBundle when more than `STRAYING` of the rows are off by more than `TOLERANCE`.
    """
    if imported.answer is None:
        return None
    session = ort.InferenceSession(imported.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    got, wanted = run(session, feed), imported.answer(feed)
    off = np.zeros(len(next(iter(feed.values()))))
    for name, want in wanted.items():
        off = np.maximum(off, _row_differences(got[name], want))
    straying = np.sort(off)[: max(1, len(off) - int(STRAYING * len(off)))]
    if straying[-1] > TOLERANCE:
        raise InvalidBundle(
            f"{GRAPH}: {(off > TOLERANCE).mean():.0%} of the rows are off from the model it was made of"
        )
    return round(float(straying[-1]), 8)


def _row_differences(got: NDArray[Any], want: NDArray[Any]) -> NDArray[np.float64]:
    one, other = (each.reshape(len(each), -1) for each in (got, want))
    if one.dtype.kind not in "fc":
        return (one.astype(str) != other.astype(str)).any(1).astype(np.float64)
    spread = max(float(np.abs(other).max()), 1e-6)
    return np.abs(one.astype(np.float64) - other).max(1) / spread


def compress(
    graph: onnx.ModelProto,
    rows: Rows | None,
    knobs: Knobs,
    scratch: Path,
    seconds: Callable[[], float] = time.monotonic,
) -> tuple[list[Point], Path]:
    """Store the graph's weights in each way that suits it; the points, and the folder of the chosen one."""
    floats = _prepared(graph, scratch)
    feeds, judged = _split(rows)
    ways = ways_for(floats, rows is not None, knobs.quantize)
    trials = [Trial(way, _make(way, floats, feeds)) for way in ways]
    feed = judged.of(slice(0, 1)).feed if judged else {k: v[:1] for k, v in invented(inputs_of(graph)).items()}
    judge = _judge(floats, judged)

    def pick(points: Sequence[Point]) -> int:
        if knobs.quantize != AUTO:
            return ways.index(knobs.quantize)
        budget = Budget(bytes_share=0.0, lost_points=knobs.lost_points, latency_share=knobs.latency_share)
        return choose(points, budget)  # none has no bytes, so it is the smallest that will do

    points, folders = search(trials, judge, feed, pick, LIMIT_S, scratch, seconds)
    return points, folders[place_of_chosen(points)]


def ways_for(floats: Path, has_data: bool, wanted: str) -> list[str]:
    """The ways that are tried, `float` first; UnsupportedRequest for one that this graph or lack of data rules out."""
    graph = onnx.load(floats, load_external_data=False).graph
    has_scores = any(each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for each in graph.output)
    if not {node.op_type for node in graph.node} & set(MULTIPLYING):
        possible = ["float"]
    elif not has_data:
        possible = ["float", "int8", "int4"]
    else:
        possible = [way for way in WAYS if way != "mixed" or has_scores]
    if wanted == AUTO:
        return possible if has_data else ["float"]
    if wanted not in possible:
        raise UnsupportedRequest(
            f"quantize {wanted!r}: this graph can be stored as {', '.join(possible)}"
            + ("" if has_data else " (static and mixed need data)")
        )
    return ["float"] if wanted == "float" else ["float", wanted]


def expected_error(
    features: Mapping[str, Sequence[Any]], outputs: Mapping[str, Any], labels: NDArray[Any] | None
) -> ExpectedError | None:
    """What labelled rows teach of a regression's errors; None of anything else.

    A regression's first output is one number a row, and so are its labels. Rows that it was fitted to teach too little
    error.
    """
    first = np.asarray(next(iter(outputs.values())))
    if labels is None or labels.dtype.kind not in "fiu" or first.dtype.kind != "f" or first.size != len(labels):
        return None
    return ExpectedError.learn(features, first.reshape(-1), labels)


def quality_of(rows: Rows | None) -> str:
    """What the points' quality is."""
    if rows is None:
        return "nothing: no data was given"
    return "accuracy on the data's labels" if rows.labels is not None else "rows answered as the float graph does"


def _prepared(graph: onnx.ModelProto, scratch: Path) -> Path:
    """The graph with its shapes told and constants folded, as the quantizer likes it, if it can be made so."""
    raw, floats = scratch / "raw.onnx", scratch / "floats.onnx"
    onnx.save(graph, raw)
    try:
        quant_pre_process(raw, floats, skip_symbolic_shape=True)
    except Exception:  # of graphs with operators that it does not know; they are served as they came
        copyfile(raw, floats)
    return floats


def _make(way: str, floats: Path, feeds: Sequence[Feed]) -> Callable[[Path], int]:
    def make(folder: Path) -> int:
        with TemporaryDirectory() as scratch:
            quantized = Path(scratch) / "quantized.onnx"
            quantize(way, floats, quantized, feeds)
            optimize(quantized, folder / GRAPH)
        return sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS) if (folder / name).exists())

    return make


def _split(rows: Rows | None) -> tuple[list[Feed], Rows | None]:
    """Single rows that calibrate, and the rows that judge."""
    if rows is None:
        return [], None
    calibrating = rows.of(slice(0, 2 * CALIBRATING, 2))
    feeds = [calibrating.of(slice(i, i + 1)).feed for i in range(calibrating.count)]
    return feeds, rows.of(slice(1, 2 * JUDGED, 2))


def _judge(floats: Path, rows: Rows | None) -> Callable[[Path], Judgement]:
    if rows is None:
        return lambda graph: Judgement(1.0, 0.0)
    wanted = run(open_session(str(floats)), rows.feed)

    def judge(graph: Path) -> Judgement:
        got = run(open_session(str(graph)), rows.feed)
        quality = agreement(wanted, got) if rows.labels is None else accuracy(got, rows.labels)
        return Judgement(quality, max(_relative_error(wanted[name], got[name]) for name in wanted))

    return judge


def agreement(wanted: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]]) -> float:
    """The least share of rows, over outputs, that is answered alike: same label, same largest score.

    Of an output of single numbers it is the share of their variance that is kept.
    """
    shares: list[float] = []
    for name, want in wanted.items():
        if want.dtype.kind not in "fc":
            shares.append(float((want == got[name]).mean()))
        elif want.ndim == 2 and want.shape[1] > 1:
            shares.append(float((want.argmax(1) == got[name].argmax(1)).mean()))
        else:
            shares.append(max(0.0, 1 - _relative_error(want, got[name])))
    return min(shares)


def accuracy(got: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> float:
    """The share of right answers by the first output that tells one; of numbers, R squared."""
    for output in got.values():
        if output.dtype.kind not in "fc":
            return float((output.reshape(-1).astype(str) == labels.astype(str)).mean())
    (first, *_) = got.values()
    if first.ndim == 2 and first.shape[1] > 1:
        return float((first.argmax(1).astype(str) == labels.astype(str)).mean())
    return 1 - _relative_error(labels.astype(np.float64), first.reshape(-1))


def _relative_error(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    if wanted.dtype.kind not in "fc":
        return float((wanted != got).mean())
    one, other = wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    return float(np.square(one - other).mean() / max(float(one.var()), 1e-12))


def _twice(feed: Feed) -> Feed:
    """A sample of at least two rows."""
    return {name: array if len(array) > 1 else np.concatenate([array, array]) for name, array in feed.items()}
