"""Joins what people said with what they said it of: each labelled text once, with every vote on it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pawl.records import CaptureRecord
from pawl.tombstones import answer_uuid
from pawl.votes import Vote
from retrain.selection import Said
from retrain.whose import Whose, whose


@dataclass(frozen=True, slots=True)
class Asked:
    """A text as it was asked first, by the uuid of that answer and the row in it, and whose it is."""

    text: str
    answer: str
    row: int
    whose: Whose


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts by what makes them equal, votes on them, and how many pieces of feedback have no captured answer."""

    texts: dict[str, Asked]
    votes: list[Vote]
    without_answer: int


def text_key(text: str) -> str:
    """What equal texts have in common: case and space around them do not count."""
    return text.casefold().strip()


def join(records: Iterable[CaptureRecord], said: Iterable[Said]) -> Joined:
    """Every labelled text of the captured traffic, whatever the order of records; a vote's item is the text's key."""
    waiting: dict[str, list[Said]] = {}
    for each in said:
        waiting.setdefault(each.inference_id, []).append(each)
    texts: dict[str, Asked] = {}
    votes: list[Vote] = []
    for record in records:
        told = waiting.pop(record.inference_id, [])
        answer, theirs = answer_uuid(record.inference_id), whose(told, [record.subject])
        for row, text in enumerate(record.inputs["text"] if told else []):
            key, voters = text_key(text), [each for each in told if row < len(each.labels)]
            known = texts.get(key)
            if voters and (known is None or (answer, row) < (known.answer, known.row)):
                texts[key] = Asked(text, answer, row, theirs)
            votes += [
                Vote(f"{each.feedback_id}#{row:06d}", each.rater, key, each.labels[row], each.given_ms / 1000)
                for each in voters
            ]
    return Joined(texts, votes, sum(map(len, waiting.values())))
