"""Freezes a generator's next dataset: select, join, screen, weigh, leave out repeats, keep sides apart.

Comparisons come first: a thumb on a text that a row compares already says nothing new. A thumb is a row that lacks one
of its texts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pawl.identity import isoformat
from pawl.language import language_of
from pawl.minhash import first_alike
from pawl.pairset import PairDataset, PairRow, freeze_pairs
from pawl.receipt import Receipt
from pawl.records import CaptureRecord
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from retrain.answers import Compared, Prompt, Rated, Text, compare, given_in, rate
from retrain.comparisons import METRICS, Opinion, Opinions
from retrain.freezing import Frozen, Rules
from retrain.gold import Known
from retrain.grading import Liked, grade
from retrain.inheritance import ERASED, left_by
from retrain.paircard import LEFT_OUT, NO_PAIR, pair_card
from retrain.selection import Selection
from retrain.sides import Belonging, held_out
from retrain.thumbs import Thumb, Thumbs
from retrain.weighing import Preferred, weigh

TRAIN, HOLDOUT, RECENT = "train", "holdout", "recent"
Splits = Mapping[str, Sequence[PairRow]]


def freeze_comparisons(
    selection: Selection,
    parent: PairDataset | None,
    feedback: Iterable[Mapping[str, Any]],
    traffic: Traffic,
    rules: Rules,
    known: Known,
) -> Frozen:
    """The next dataset of a generator: its parent's rows, and what people have preferred and liked since.

    Without a parent what is held out becomes the holdout, which every later dataset inherits as it is.
    """
    said, thumbs = _heard(feedback, selection, rules.erased)
    inherited, erased_rows = left_by(parent, rules.erased)
    given = given_in(_answers([*said.said, *thumbs.said], selection, traffic, rules.erased))
    compared, rated = compare(given, said.said, known.gold), rate(given, thumbs.said)
    weighed = weigh(compared, said.said, rules.trust, rules.restored)
    found = grade(rated, thumbs.said, selection.graded, rules.trust, rules.restored)
    left_out = said.left_out + thumbs.left_out + compared.left_out + rated.left_out + weighed.without + found.without
    left_out[ERASED] += erased_rows
    left_out[NO_PAIR] += known.unreadable
    offered = [*_pairs(weighed.preferred, compared), *_thumbs(found.liked, rated)]
    splits = assemble(inherited, offered, left_out)
    learned = sum(map(len, splits.values())) - sum(map(len, inherited.values()))
    lineage = {
        "parent": parent.digest if parent else None,
        "version": selection.version,
        "traffic_window": [isoformat(each) for each in selection.window_ms],
        "feedback": learned,
        "thumbs": _count_thumbs(splits) - _count_thumbs(inherited),
        "raters": len(weighed.raters | found.raters),
        "gold": len(compared.gold),
        "left_out": {reason: left_out[reason] for reason in LEFT_OUT},
        "quarantined": dict(weighed.suspicious + found.suspicious),
    }
    card = pair_card(selection.model, splits, lineage)
    quarantined = [*weighed.quarantined, *found.quarantined]
    return Frozen(freeze_pairs(selection.model, splits, lineage, card), learned, quarantined)


def assemble(inherited: Splits, offered: Sequence["Offered"], left_out: Counter[str]) -> dict[str, list[PairRow]]:
    """The splits of the next dataset: what is inherited as it was, and what is new of the rows on offer."""
    before = [row for rows in inherited.values() for row in rows]
    alike = _Alike.of([*before, *(row for row, _ in offered)])
    fresh = list(_without_repeats(before, offered, alike, left_out))
    belongings = [Belonging(alike.prompts[place], askers) for place, _, askers in fresh]
    sides = held_out(belongings, *_belongings(inherited, alike))
    kept = RECENT if before else HOLDOUT
    splits = {split: list(inherited.get(split, [])) for split in (TRAIN, HOLDOUT, RECENT)}
    for (_, row, _), is_out in zip(fresh, sides, strict=True):
        if is_out is None:
            left_out["both sides"] += 1
        else:
            splits[kept if is_out else TRAIN].append(row)
    return {split: rows for split, rows in splits.items() if rows}


Offered = tuple[PairRow, tuple[str, ...]]
"""A row, and all who asked."""


class _Fresh(NamedTuple):
    """A new row, its place among all, and all who asked."""

    place: int
    row: PairRow
    askers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Alike:
    """Which prompts and which texts of rows nearly repeat each other: equal numbers do."""

    prompts: list[int]
    chosen: list[int]
    rejected: list[int]

    @classmethod
    def of(cls, rows: Sequence[PairRow]) -> "_Alike":
        if not rows:
            return cls([], [], [])
        texts = first_alike([text for row in rows for text in (row.chosen, row.rejected)])
        prompts = first_alike([_asked(row.prompt) for row in rows])
        return cls(prompts.tolist(), texts[0::2].tolist(), texts[1::2].tolist())

    def key(self, place: int) -> tuple[int, int, int]:
        """What a row has in common with those that nearly repeat it, or say the opposite of nearly the same."""
        one, other = sorted((self.chosen[place], self.rejected[place]))
        return self.prompts[place], one, other

    def texts(self, place: int) -> set[tuple[int, int]]:
        """Both texts of a row, each as an answer to its prompt."""
        return {(self.prompts[place], self.chosen[place]), (self.prompts[place], self.rejected[place])}


def _without_repeats(
    before: Sequence[PairRow], offered: Sequence[Offered], alike: _Alike, left_out: Counter[str]
) -> Iterator[_Fresh]:
    """What repeats neither an inherited row nor an earlier one, exactly or nearly; a thumb, not even half a pair."""
    seen = {alike.key(place) for place in range(len(before))}
    known = {text for place, row in enumerate(before) if not row.is_thumb for text in alike.texts(place)}
    for place, (row, askers) in enumerate(offered, len(before)):
        key, texts = alike.key(place), alike.texts(place)
        if key in seen or (row.is_thumb and texts & known):
            left_out["repeat"] += 1
            continue
        seen.add(key)
        known |= set() if row.is_thumb else texts
        yield _Fresh(place, row, askers)


def _pairs(preferred: Iterable[Preferred], compared: Compared) -> Iterator[Offered]:
    """The rows of preferences, in the order of their texts."""
    for each in sorted(preferred, key=lambda each: (each.better, each.worse)):
        better, worse = compared.texts[each.better], compared.texts[each.worse]
        theirs = compared.whose[min(each.better, each.worse), max(each.better, each.worse)]
        answers = tuple(sorted({better.answer, worse.answer} - {""}))
        texts, about = (
            (better.prompt, better.text, worse.text),
            (answers, theirs.subject, theirs.people, theirs.authors),
        )
        yield PairRow(*texts, each.margin, each.weight, _slices(better), "traffic", *about), theirs.askers


def _thumbs(liked: Iterable[Liked], rated: Rated) -> Iterator[Offered]:
    """The rows of single answers, in the order of their texts."""
    for each in sorted(liked):
        text, theirs = rated.texts[each.text], rated.whose[each.text]
        texts = (text.prompt, text.text, "") if each.is_good else (text.prompt, "", text.text)
        about = ((text.answer,), theirs.subject, theirs.people, theirs.authors)
        yield PairRow(*texts, None, each.weight, _slices(text), "traffic", *about), theirs.askers


def _slices(text: Text) -> dict[str, str]:
    """What a reward is judged by apart: the language that people asked in."""
    return {"language": language_of(_asked(text.prompt))}


def _count_thumbs(splits: Splits) -> int:
    return sum(row.is_thumb for rows in splits.values() for row in rows)


def _belongings(inherited: Splits, alike: _Alike) -> tuple[list[Belonging], list[Belonging]]:
    """What the parent trains on and what it holds out; its rows come first among all, split by split."""
    learned, kept, place = list[Belonging](), list[Belonging](), 0
    for split, rows in inherited.items():
        for row in rows:
            (learned if split == TRAIN else kept).append(Belonging(alike.prompts[place], row.askers))
            place += 1
    return learned, kept


def _asked(prompt: Prompt) -> str:
    """What people asked: the rest of a conversation, such as its system prompt, is alike in different ones."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt if message["role"] == "user")


def _heard(feedback: Iterable[Mapping[str, Any]], selection: Selection, erased: Tombstones) -> tuple[Opinions, Thumbs]:
    """What is said in the metrics that compare, and in those that grade: read once, since there may be much of it."""
    said, thumbs = Opinions(), Thumbs()
    for item in feedback:
        if item["metric"] in METRICS:
            said.take(item, erased)
        elif item["metric"] in selection.graded:
            thumbs.take(item, selection.graded[item["metric"]], erased)
    return said, thumbs


def _answers(
    said: Iterable[Opinion | Thumb], selection: Selection, traffic: Traffic, erased: Tombstones
) -> Iterator[CaptureRecord]:
    """The captured answers of which something was said, version by version, less those to erased subjects."""
    wanted: dict[str, set[str]] = {}
    for each in said:
        for inference_id in each.answers:
            wanted.setdefault(Receipt.unproved(inference_id).model_version, set()).add(inference_id)
    for version, inference_ids in sorted(wanted.items()):
        for record in traffic.answers(selection.model, version, *selection.window_ms, inference_ids):
            if not erased.cover("", record.subject):
                yield record
