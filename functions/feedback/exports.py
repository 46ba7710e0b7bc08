"""Feedback in what annotation tools export as JSON: Label Studio's tasks and Argilla's records.

Label Studio ("JSON", not "JSON-MIN"): each annotation that was not cancelled, by its `completed_by`. A result is said
in the metric that its `from_name` names, else in that of its type: `choices` is a label, `rating` and `number` a
rating, `textarea` a comment, `pairwise` a preference, `ranker` a ranking of items whose ids are inference_ids. Results
of other types, such as relations and regions, are no feedback. A task's `data` holds the `inference_id` or
`episode_id`, or for pairwise `inference_ids`, the left and the right one.

Argilla 2 (`dataset.records.to_json`): each response, by its `user_id`. It is said in the metric that its question
names, else in one that fits its value: a number is a rating, a text a label, or a comment where another question is
named `label`, a list a ranking, best first, of inference_ids or of options whose inference_ids the metadata hold under
the options' names. A list of anything else, such as several labels or spans, is no feedback. The record's id is the
inference_id, unless its metadata hold one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from feedback.comparisons import is_id
from pawl.errors import InvalidRecord
from pawl.feedback import ARGILLA, LABEL_STUDIO
from pawl.metrics import Metric
from pawl.narrowing import is_list, is_object
from pawl.web import explain

_COMPARISONS = ("preference", "ranking")
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


class Result(BaseModel):
    """What one control of Label Studio says; what ties two regions together has neither name nor value."""

    from_name: str = ""
    type: str = ""
    value: dict[str, JsonValue] = {}


class Annotation(BaseModel):
    """What one person says of a task."""

    result: list[Result]
    completed_by: int | str | dict[str, JsonValue] | None = None
    was_cancelled: bool = False


class Task(BaseModel):
    """A task of Label Studio."""

    data: dict[str, JsonValue]
    annotations: list[Annotation]


class Response(BaseModel):
    """What one person answers to a question of Argilla."""

    value: JsonValue
    user_id: str


class Record(BaseModel):
    """A record of Argilla."""

    id: str | None = None
    metadata: dict[str, JsonValue] | None = None
    responses: dict[str, list[Response]]


Piece = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """The pieces of feedback in a row, as the API takes them, and what is wrong with others that are none."""

    pieces: list[Piece] = field(default_factory=list[Piece])
    wrong: list[str] = field(default_factory=list[str])


def feedback_in(row: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Exported:
    """What a row says: itself, or what the exported task or record does that it is."""
    try:
        if "data" in row and "annotations" in row:
            return _read(_of_task(Task.model_validate(row), metrics))
        if "fields" in row and "responses" in row:
            return _read(_of_record(Record.model_validate({**row, "responses": row["responses"] or {}}), metrics))
    except ValidationError as error:
        raise InvalidRecord(f"not as the tool exports it: {explain(error.errors())}") from error
    return Exported([dict(row)])


Reader = Callable[[], Piece]


def _read(readers: Iterable[Reader]) -> Exported:
    """Each piece by itself: what one person got wrong takes nothing from what others said."""
    found = Exported()
    for read in readers:
        try:
            found.pieces.append(read())
        except InvalidRecord as error:
            found.wrong.append(str(error))
    return found


def _of_task(task: Task, metrics: Mapping[str, Metric]) -> Iterator[Reader]:
    for annotation in task.annotations:
        by = annotation.completed_by
        rater = f"{LABEL_STUDIO}/{by.get('email') or by.get('id') if is_object(by) else by}"
        for result in [] if annotation.was_cancelled else annotation.result:
            if result.type in _KINDS and result.from_name:
                yield partial(_of_result, result, task.data, rater, metrics)


def _of_result(result: Result, data: Mapping[str, Any], rater: str, metrics: Mapping[str, Metric]) -> Piece:
    kind, read = _KINDS[result.type]
    name = result.from_name if result.from_name in metrics else kind
    value = read(result.value, data)
    if metrics[name].type == "comment" and is_list(value):
        value = "\n".join(map(str, value))
    target = {each: data[each] for each in ("inference_id", "episode_id") if each in data}
    return _piece(name, _fit(value, metrics[name]), target, rater)


def _of_record(record: Record, metrics: Mapping[str, Metric]) -> Iterator[Reader]:
    metadata = record.metadata or {}
    target = {"inference_id": metadata.get("inference_id", record.id)}
    text = "comment" if "label" in record.responses else "label"
    for question, responses in record.responses.items():
        for response in responses:
            kind = _kind_of(response.value, metadata, text)
            name = question if question in metrics else kind
            if name:
                value = response.value
                if metrics[name].type == "ranking" and is_list(value):
                    value = _ranks([metadata.get(str(option), option) for option in value])
                yield partial(_piece, name, _fit(value, metrics[name]), target, f"{ARGILLA}/{response.user_id}")


def _kind_of(value: JsonValue, metadata: Mapping[str, Any], text: str) -> str:
    """The metric that an answer to a question of Argilla fits; empty where it fits none."""
    if is_list(value):
        return "ranking" if all(str(option) in metadata or is_id(str(option)) for option in value) else ""
    return text if isinstance(value, str) else "rating"


def _piece(name: str, value: Any, target: Mapping[str, Any], rater: str) -> Piece:
    return {"metric_name": name, "value": value, **({} if name in _COMPARISONS else target), "tags": {"rater": rater}}


def _fit(value: Any, metric: Metric) -> Any:
    """A boolean where the tool has a choice of two words for it."""
    return _TRUTH.get(value.casefold(), value) if metric.type == "boolean" and isinstance(value, str) else value


def _one(name: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any]:
    def read(value: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
        found = value.get(name)
        return found[0] if is_list(found) and len(found) == 1 else found

    return read


def _choice(value: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    found = value.get("choices")
    if not is_list(found) or len(found) != 1:
        raise InvalidRecord("a choices result: want one choice, for a label is one")
    return found[0]


def _pair(value: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    ids, sides = data.get("inference_ids"), ["left", "right"]
    if not is_list(ids) or len(ids) != len(sides) or value.get("selected") not in sides:
        raise InvalidRecord(
            "a pairwise result: want it selected left or right, and both inference_ids in the task's data"
        )
    chosen = sides.index(str(value["selected"]))
    return {"chosen": ids[chosen], "rejected": ids[1 - chosen]}


def _order(value: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
    buckets = value.get("ranker")
    if not is_object(buckets) or len(buckets) != 1:
        raise InvalidRecord("a ranker result: want one list of items, without buckets")
    return _ranks(next(iter(buckets.values())))


def _ranks(items: Any) -> list[dict[str, Any]]:
    if not is_list(items):
        raise InvalidRecord("a ranking: want a list, best first")
    return [{"value": item, "rank": place} for place, item in enumerate(items, 1)]


_KINDS: Mapping[str, tuple[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]]] = {
    "choices": ("label", _choice),
    "rating": ("rating", _one("rating")),
    "number": ("rating", _one("number")),
    "textarea": ("comment", _one("text")),
    "pairwise": ("preference", _pair),
    "ranker": ("ranking", _order),
}
