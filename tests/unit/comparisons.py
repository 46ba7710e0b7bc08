"""A small world of compared answers: what a generator said to prompts, and which of it people found better."""

import json
from typing import Any, cast

from tests.unit.freezes import BEGAN_MS, MINUTE_MS, WINDOW, Lake, receipt, taken

from pawl.compared import apart
from pawl.identity import isoformat
from pawl.metrics import declared
from pawl.pairset import PairDataset, PairRow
from pawl.records import CaptureRecord
from pawl.traffic import Traffic
from retrain.comparisons import METRICS
from retrain.freezing import Frozen, Rules
from retrain.gold import Gold, Known
from retrain.pairs import freeze_comparisons
from retrain.selection import Selection
from retrain.thumbs import graded

MODEL = "parrot"
METRICS_DECLARED = declared(
    '{"harmful": {"type": "boolean", "optimize": "min", "teaches": true},'
    ' "stars": {"type": "float", "teaches": true}, "speed": {"type": "float"}}'
)
SYSTEM = {"role": "system", "content": "You are a parrot and answer whoever asks you as well as a parrot can."}


class Conversations:
    """Answers are a minute apart, and raters speak a minute after the newest one."""

    def __init__(self) -> None:
        self.records: list[CaptureRecord] = []
        self.feedback: list[dict[str, Any]] = []
        self.gold: dict[str, Gold] = {}

    def answer(self, prompt: str, *texts: str, version: str = "3", asked_by: str = "", is_chat: bool = True) -> str:
        """An answer of one text or several to a prompt; its inference_id."""
        at_ms = BEGAN_MS + MINUTE_MS * len(self.records)
        inference_id = receipt(MODEL, version, len(texts), at_ms, len(self.records), prompt)
        messages = json.dumps([SYSTEM, {"role": "user", "content": prompt}])
        column, asked = ("messages", messages) if is_chat else ("prompt", prompt)
        outputs = {"text": list(texts), "finish_reason": ["stop"] * len(texts)}
        about = (inference_id, MODEL, version, at_ms)
        self.records.append(CaptureRecord(*about, {column: [asked] * len(texts)}, outputs, {}, asked_by))
        return inference_id

    def say(
        self, metric: str, value: Any, rater: str = "ada", beside: str = "", named: tuple[str, ...] = (), **tags: str
    ) -> str:
        """A piece of feedback, as the function keeps it; its id."""
        about = metric
        if metric in ("preference", "ranking"):
            about += "." + apart(named if beside else [each.split(".")[1] for each in named])
        answer = max(each.split(".")[1] for each in ([beside] if beside else named))
        number = len(self.feedback)
        item: dict[str, Any] = {
            "feedback_id": f"feedback-{number:04d}",
            "metric": metric,
            "value": value,
            "rater": rater,
            "tags": {"rater": rater, **tags},
            "model_version": "3",
            "given_at": isoformat(BEGAN_MS + MINUTE_MS * (len(self.records) + number)),
            "sk": f"{answer}#{about}#{rater}",
        }
        self.feedback.append({**item, "inference_id": beside} if beside else item)
        return item["feedback_id"]

    def send(self, metric: str, value: Any, beside: str = "", **tags: str) -> None:
        """The same, as it comes through the API a minute after the last answer."""
        target = {"inference_id": beside} if beside else {}
        sent = {"metric_name": metric, "value": value, "tags": tags, **target}
        self.feedback.append(taken(sent, self.records[-1].unix_ms + MINUTE_MS))

    def prefer(self, better: str, worse: str, rater: str = "ada", margin: float | None = None, **tags: str) -> str:
        """That one answer is better than the other, both by their ids."""
        value = {"chosen": better, "rejected": worse} | ({} if margin is None else {"margin": margin})
        return self.say("preference", value, rater, named=(better, worse), **tags)

    def tie(self, one: str, other: str, rater: str = "ada") -> str:
        """That two answers are as good as each other."""
        return self.say("preference", {"tie": [one, other]}, rater, named=(one, other))

    def know(self, better: str | None, *answers: str) -> None:
        """Let a pair of answers be gold."""
        uuids = [each.split(".")[1] for each in answers]
        self.gold[f"{max(uuids)}#preference.{apart(uuids)}"] = Gold(better)

    def thumb(
        self, answer: str, value: bool | float, rater: str = "ada", metric: str = "thumbs_up", **tags: str
    ) -> str:
        """What a rater says of one answer by itself."""
        return self.say(metric, value, rater, answer, **tags)

    def freeze(self, parent: PairDataset | None = None, rules: Rules | None = None) -> Frozen:
        """The next dataset of version 3."""
        lake = cast("Traffic", Lake(self.records))
        selection = Selection(MODEL, "3", WINDOW, METRICS, graded(METRICS_DECLARED, MODEL))
        return freeze_comparisons(selection, parent, self.feedback, lake, rules or Rules(), Known(self.gold))


def rows_of(frozen: Frozen) -> list[PairRow]:
    """All rows, whichever side they are on."""
    assert isinstance(frozen.dataset, PairDataset)
    return [row for rows in frozen.dataset.splits.values() for row in rows]


def preferred(frozen: Frozen) -> set[tuple[str, str]]:
    """What is better than what."""
    return {(row.chosen, row.rejected) for row in rows_of(frozen)}
