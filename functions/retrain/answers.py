"""Joins what was said with the captured answers that it names: a vote is on two texts that answer a prompt, or on one.

Equal texts to one prompt are one item, whichever answers they were; so is a text that a rater wrote. An answer of
several texts (`n` of them, or to several prompts) has no text of its own to compare: nothing says which one was meant.

A text that no answer held is that of the rater who calls it their own; one that a single rater brings is taken for it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pawl.records import CaptureRecord
from pawl.tombstones import answer_uuid, subject_digest
from pawl.votes import Item, Value, Vote
from retrain.comparisons import Better, Opinion
from retrain.gold import Gold
from retrain.thumbs import Thumb
from retrain.whose import Whose, whose

Prompt = str | list[dict[str, str]]
Pair = tuple[str, str]
_MESSAGES = "messages"
_PROMPTS = (_MESSAGES, "prompt", "text")
"""The columns that a captured record keeps prompts in."""


class Text(NamedTuple):
    """An answer to a prompt: `answer` is the uuid of the first captured one that it was, empty for a rater's own."""

    prompt: Prompt
    prompt_key: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Texts by what makes them equal, votes on pairs of them, and what else is known of those.

    `margins` are by vote, `gold` the better of pairs that are known. `brought` are, by text, the raters with whose word
    it came and not with an answer, by digest, and whether they call it their own.
    """

    texts: dict[str, Text] = field(default_factory=dict[str, Text])
    votes: list[Vote] = field(default_factory=list[Vote])
    margins: dict[str, float] = field(default_factory=dict[str, float])
    gold: dict[Item, Value] = field(default_factory=dict[Item, Value])
    brought: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    whose: dict[Pair, Whose] = field(default_factory=dict[Pair, Whose])
    left_out: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Rated:
    """Texts by what makes them equal, votes on each by metric, and whose it is."""

    texts: dict[str, Text] = field(default_factory=dict[str, Text])
    votes: dict[str, list[Vote]] = field(default_factory=dict[str, list[Vote]])
    whose: dict[str, Whose] = field(default_factory=dict[str, Whose])
    left_out: Counter[str] = field(default_factory=Counter[str])


class Given(NamedTuple):
    """A captured answer; `prompt` is None where there are several."""

    uuid: str
    prompt: Prompt | None
    texts: tuple[str, ...]
    subject: str

    @property
    def text(self) -> str | None:
        """Its text, if it has one alone."""
        return self.texts[0] if len(self.texts) == 1 else None


def given_in(records: Iterable[CaptureRecord]) -> dict[str, Given]:
    """The answers in captured records, by their inference_ids."""
    return {record.inference_id: _given(record) for record in records}


def compare(given: Mapping[str, Given], said: Iterable[Opinion], gold: Mapping[str, Gold]) -> Compared:
    """Every comparison whose answers were captured; the others are counted by reason."""
    found, told = Compared(), dict[Pair, list[Opinion]]()
    for opinion in sorted(said):
        if any(each not in given for each in opinion.answers):
            found.left_out["without answer"] += 1
            continue
        for place, better in enumerate(opinion.told):
            pair = _vote(found, opinion, f"{opinion.feedback_id}#{place:06d}", better, given, gold)
            if pair is not None:
                told.setdefault(pair, []).append(opinion)
    for pair, opinions in told.items():
        authors = {author for key in pair for author in _authors(found.brought.get(key, {}))}
        found.whose[pair] = whose(opinions, _askers(opinions, given), authors)
    return found


def rate(given: Mapping[str, Given], said: Iterable[Thumb]) -> Rated:
    """Every thumb whose answer was captured; the others are counted by reason."""
    found, told = Rated(), dict[str, list[Thumb]]()
    for thumb in sorted(said):
        answer = given.get(thumb.answer)
        if answer is None:
            found.left_out["without answer"] += 1
        elif answer.text is None or answer.prompt is None:
            found.left_out["several texts"] += 1
        elif not answer.text.strip():
            found.left_out["no text"] += 1
        else:
            key = _add(found.texts, Text(answer.prompt, _digest(answer.prompt), answer.text, answer.uuid))
            vote = Vote(thumb.feedback_id, thumb.rater, key, thumb.value, thumb.given_ms / 1000)
            found.votes.setdefault(thumb.metric, []).append(vote)
            told.setdefault(key, []).append(thumb)
    found.whose.update({key: whose(thumbs, _askers(thumbs, given)) for key, thumbs in told.items()})
    return found


def _vote(
    found: Compared,
    opinion: Opinion,
    vote_id: str,
    better: Better,
    given: Mapping[str, Given],
    gold: Mapping[str, Gold],
) -> Pair | None:
    """Add a vote and return its pair in ascending order; None where there is nothing to compare."""
    texts = [_text(name, opinion, given) for name in (better.first, better.second)]
    if None in texts:
        found.left_out["several texts"] += 1
        return None
    first, second = (_add(found.texts, text) for text in texts if text is not None)
    if first == second:
        found.left_out["same text"] += 1
        return None
    for key, name in ((first, better.first), (second, better.second)):
        if not _is_given(name, opinion, given):
            by, rater = found.brought.setdefault(key, {}), subject_digest(opinion.rater)
            by[rater] = by.get(rater, False) or opinion.is_own
    pair = (min(first, second), max(first, second))
    at = opinion.given_ms / 1000
    found.votes.append(Vote(vote_id, opinion.rater, pair, None if better.is_tie else first, at))
    if better.margin is not None:
        found.margins[vote_id] = float(better.margin)
    known = gold.get(opinion.pair)
    if known is not None and known.better in (None, better.first, better.second):
        found.gold[pair] = None if known.better is None else first if known.better == better.first else second
    return pair


def _text(name: str, opinion: Opinion, given: Mapping[str, Given]) -> Text | None:
    """The text that an opinion names, as its answer to the prompt."""
    answer = given[opinion.beside or name]
    is_given = not opinion.beside or (opinion.is_own and name == "")
    text = answer.text if is_given else name
    if text is None or answer.prompt is None:
        return None
    return Text(answer.prompt, _digest(answer.prompt), text, "" if opinion.is_own and not is_given else answer.uuid)


def _is_given(name: str, opinion: Opinion, given: Mapping[str, Given]) -> bool:
    """Whether what an opinion names is an answer, or a text that the answer beside it holds."""
    if not opinion.beside or (opinion.is_own and name == ""):
        return True
    return name.strip() in map(str.strip, given[opinion.beside].texts)


def _authors(brought: Mapping[str, bool]) -> set[str]:
    """Who wrote a text: whoever calls it their own, else who alone brought it."""
    own = {rater for rater, is_own in brought.items() if is_own}
    return own or (set(brought) if len(brought) == 1 else set())


def _askers(told: Iterable[Opinion | Thumb], given: Mapping[str, Given]) -> set[str]:
    return {given[name].subject for each in told for name in each.answers}


def _add(texts: dict[str, Text], text: Text) -> str:
    """The key of a text, which is kept as it was answered first."""
    key = text.prompt_key + _digest(text.text.strip())
    known = texts.get(key)
    if known is None or (text.answer and (not known.answer or text.answer < known.answer)):
        texts[key] = text
    return key


def _given(record: CaptureRecord) -> Given:
    column = next(name for name in _PROMPTS if name in record.inputs)
    prompts, texts = record.inputs[column], record.outputs.get("text", [])
    is_one = len(set(prompts)) == 1
    prompt = _prompt(column, prompts[0]) if is_one else None
    return Given(answer_uuid(record.inference_id), prompt, tuple(map(str, texts)), record.subject)


def _prompt(column: str, captured: Any) -> Prompt:
    """A prompt as it was asked: a conversation is captured as one line of JSON."""
    if column != _MESSAGES:
        return str(captured)
    return [{name: str(each[name]) for name in ("role", "content")} for each in json.loads(captured)]


def _digest(value: Prompt) -> str:
    text = value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
