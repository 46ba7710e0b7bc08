"""A small world to freeze datasets in: answers to texts, what raters say of them, and a lake that holds both."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, cast

from feedback.intake import Intake
from feedback.schema import Feedback
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.identity import isoformat
from pawl.metrics import declared
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord
from pawl.traffic import Traffic
from retrain.freezing import Frozen, Rules, freeze_traffic
from retrain.selection import Selection

BEGAN_MS = 1_767_225_600_000
MINUTE_MS = 60_000
KEYS = ReceiptKeys("k1:" + "s" * 32)
INTAKE = Intake(KEYS, declared(""), 90.0)
WINDOW = (BEGAN_MS, BEGAN_MS + 86_400_000)
PARENT = freeze(
    "triage",
    {
        "train": [Row("no light", "outage"), Row("too much to pay", "billing")],
        "holdout": [Row("Wrong Sum", "billing")],
        "recent": [Row("dark", "outage", {}, "traffic")],
    },
    {"parent": None},
)


class Lake:
    """Captured answers by version, as the traffic lake gives them."""

    def __init__(self, records: Iterable[CaptureRecord]) -> None:
        self.records = list(records)

    def answers(
        self, model: str, version: str, since_ms: int, until_ms: int, wanted: Container[str]
    ) -> Iterator[CaptureRecord]:
        for record in self.records:
            if record.version == version and since_ms <= record.unix_ms < until_ms and record.inference_id in wanted:
                yield record


def receipt(model: str, version: str, rows: int, at_ms: int, number: int, asked: str = "") -> str:
    """The signed inference_id of an answer."""
    about = {"model": model, "model_version": version, "function_version": "1", "rows": rows}
    return KEYS.sign(**about, payload=asked.encode(), unix_ms=at_ms, random=number.to_bytes(10, "big"))


def taken(sent: Mapping[str, Any], said_ms: int, intake: Intake = INTAKE) -> dict[str, Any]:
    """A piece of feedback that somebody sends, as the table keeps it once the intake has taken it."""
    piece = intake.read(Feedback.model_validate(sent), "key-1", said_ms)
    about = {"model_version": piece.version, "said_ms": said_ms, "given_at": isoformat(said_ms)}
    subjects = {"subjects": list(piece.subjects)} if piece.subjects else {}
    return {**dict(zip(("pk", "sk"), piece.key, strict=True)), **piece.body, **about, **subjects}


class World:
    """Answers are a minute apart, and raters speak a minute after one."""

    def __init__(self) -> None:
        self.records: list[CaptureRecord] = []
        self.feedback: list[dict[str, Any]] = []

    def answer(self, *texts: str, version: str = "3", asked_by: str = "") -> str:
        """An answer to these texts, by the pseudonym of who asked; its inference_id."""
        at_ms = BEGAN_MS + MINUTE_MS * len(self.records)
        inference_id = receipt("triage", version, len(texts), at_ms, len(self.records))
        outputs = {"label": ["other"] * len(texts)}
        about = (inference_id, "triage", version, at_ms)
        self.records.append(CaptureRecord(*about, {"text": list(texts)}, outputs, {}, asked_by))
        return inference_id

    def say(
        self,
        inference_id: str,
        *labels: str,
        rater: str = "key-1",
        metric: str = "label",
        after_min: float = 1.0,
        **tags: str,
    ) -> str:
        """What a rater says of an answer; the feedback's id."""
        record = next(each for each in self.records if each.inference_id == inference_id)
        feedback_id = f"{inference_id.split('.')[1]}/{metric}/{rater}"
        given_at = isoformat(record.unix_ms + round(after_min * MINUTE_MS))
        value: Any = {"outputs": [{"name": "label", "data": list(labels)}]} if metric == "correction" else list(labels)
        item = {"feedback_id": feedback_id, "inference_id": inference_id, "metric": metric, "value": value}
        item |= {"rater": rater, "tags": tags, "model_version": record.version, "given_at": given_at}
        item |= {"sk": f"{inference_id.split('.')[1]}#{metric}#{rater}"}
        self.feedback.append(item)
        return feedback_id

    def send(self, inference_id: str, metric: str, value: Any, **tags: str) -> None:
        """The same, as it comes through the API a minute after the last answer."""
        sent = {"metric_name": metric, "value": value, "inference_id": inference_id, "tags": tags}
        self.feedback.append(taken(sent, self.records[-1].unix_ms + MINUTE_MS))

    def label(self, label: str, *texts: str, **said: Any) -> None:
        """One labelled answer a text."""
        for text in texts:
            self.say(self.answer(text), label, **said)

    def freeze(
        self, parent: FrozenDataset = PARENT, rules: Rules | None = None, version: str = "3", backwards: bool = False
    ) -> Frozen:
        """The next dataset; `backwards` reads everything in the opposite order."""
        order = -1 if backwards else 1
        lake = cast("Traffic", Lake(self.records[::order]))
        selection = Selection("triage", version, WINDOW)
        return freeze_traffic(selection, parent, self.feedback[::order], lake, rules or Rules())


def new_rows(frozen: Frozen, parent: FrozenDataset = PARENT) -> Mapping[str, str]:
    """The label of each new text."""
    return {
        row.text: row.label
        for split, rows in frozen.dataset.splits.items()
        for row in rows[len(parent.splits.get(split, [])) :]
    }
