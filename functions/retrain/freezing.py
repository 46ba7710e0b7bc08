"""Freezes the next dataset: select, join, screen, agree, leave out what repeats, split, and say what was left out.

Traffic streams by: what is held at once is the labelled texts and their votes, however many answers were captured.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pawl.dataset import FrozenDataset, Row, freeze
from pawl.identity import isoformat
from pawl.minhash import first_alike
from pawl.pairset import PairDataset
from pawl.quarantine import Entry
from pawl.records import CaptureRecord
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from pawl.votes import Item, Value, Vote
from retrain.card import LEFT_OUT, NEW_LABEL_ROWS, data_card
from retrain.consensus import Agreed, agree
from retrain.joining import Asked, join, text_key
from retrain.selection import Said, Selection, select
from retrain.splitting import RECENT, TRAIN, Belonging, Splits, held_out
from retrain.trust import Trust
from retrain.whose import persons

_SIDES = {True: RECENT, False: TRAIN, None: None}


@dataclass(frozen=True, slots=True)
class Rules:
    """What people have said on what counts: whom to believe, which feedback they restored, who was erased."""

    trust: Trust = field(default_factory=Trust)
    restored: frozenset[str] = frozenset()
    erased: Tombstones = field(default_factory=Tombstones)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A dataset, how many of its texts are new, and the feedback that it was not made of until somebody restores it."""

    dataset: FrozenDataset | PairDataset
    learned: int
    quarantined: list[Entry]


def freeze_traffic(
    selection: Selection, parent: FrozenDataset, feedback: Iterable[Mapping[str, Any]], traffic: Traffic, rules: Rules
) -> Frozen:
    """The next dataset of a model: its parent's rows, and what people agree on of its traffic since."""
    selected = select(feedback, selection, rules.erased)
    inherited, erased_rows = _inherited(parent, rules.erased)
    joined = join(_answers(selected.said, selection, traffic, rules.erased), selected.said)
    left_out = selected.left_out + Counter({"without answer": joined.without_answer, "erased row": erased_rows})
    votes = learnable(joined.votes, {row.label for row in inherited[TRAIN]})
    agreed = agree(votes, selected.said, _gold(inherited), rules.trust, rules.restored)
    splits = assemble(inherited, joined.texts, agreed, left_out, persons(selected.said))
    learned = sum(map(len, splits.values())) - sum(map(len, inherited.values()))
    lineage = {
        "parent": parent.digest,
        "version": selection.version,
        "traffic_window": [isoformat(each) for each in selection.window_ms],
        "feedback": learned,
        "raters": agreed.raters,
        "left_out": {reason: left_out[reason] for reason in LEFT_OUT},
        "quarantined": dict(agreed.suspicious),
    }
    card = data_card(parent.model, splits, lineage)
    return Frozen(freeze(parent.model, splits, lineage, card), learned, agreed.quarantined)


def assemble(
    inherited: Splits, texts: Mapping[str, Asked], agreed: Agreed, left_out: Counter[str], names: Mapping[str, str]
) -> dict[str, list[Row]]:
    """The splits of the next dataset: what is inherited, and the texts that are new; counts the others in `left_out`.

    `names` has one for each person who has several. No text of the inherited rows changes, nor is one held out that is
    trained on. A label that the parent does not know needs NEW_LABEL_ROWS rows to be learned: one person's slip of the
    pen is no new class.
    """
    known = {text_key(row.text) for rows in inherited.values() for row in rows}
    offered = sorted((key for key in texts if key not in known), key=lambda key: (texts[key].answer, texts[key].row))
    left_out["known"] += len(texts) - len(offered)
    left_out.update(agreed.without.get(key, "rare label") for key in offered if key not in agreed.labels)
    fresh = _without_repeats([key for key in offered if key in agreed.labels], texts, inherited)
    left_out["near duplicate"] += sum(key in agreed.labels for key in offered) - len(fresh)
    rows = [_row(texts[key], agreed.labels[key]) for key in fresh]
    belongings = [Belonging(key, texts[key].whose.everybody, texts[key].whose.is_rater) for key in fresh]
    sides = [_SIDES[is_out] for is_out in held_out(belongings, inherited, names)]
    labels = _learnable_labels(inherited, zip(rows, sides, strict=True))
    splits = {name: list(given) for name, given in inherited.items()} | {RECENT: list(inherited.get(RECENT, []))}
    for row, side in zip(rows, sides, strict=True):
        if side is None:
            left_out["both sides"] += 1
        elif row.label in labels:
            splits[side].append(row)
        else:
            left_out["rare label"] += 1
    return splits


def learnable(votes: Sequence[Vote], known: Set[str]) -> list[Vote]:
    """The votes for labels that are known or that NEW_LABEL_ROWS texts or more were given: no others can be learned.

    A screening's memory grows with the square of the labels, and people mistype them in ever new ways.
    """
    texts: dict[str, set[Item]] = {}
    for vote in votes:
        if vote.value not in known:
            texts.setdefault(str(vote.value), set()).add(vote.item)
    labels = {*known, *(label for label, given in texts.items() if len(given) >= NEW_LABEL_ROWS)}
    return [vote for vote in votes if vote.value in labels]


def _row(asked: Asked, label: str) -> Row:
    return Row(asked.text, label, {}, "traffic", asked.answer, asked.whose.subject, asked.whose.people)


def _answers(
    said: Iterable[Said], selection: Selection, traffic: Traffic, erased: Tombstones
) -> Iterator[CaptureRecord]:
    """The captured answers of which something was said, version by version, less those to erased subjects."""
    wanted: dict[str, set[str]] = {}
    for each in said:
        wanted.setdefault(each.version, set()).add(each.inference_id)
    for version, inference_ids in sorted(wanted.items()):
        for record in traffic.answers(selection.model, version, *selection.window_ms, inference_ids):
            if not erased.cover("", record.subject):
                yield record


def _inherited(parent: FrozenDataset, erased: Tombstones) -> tuple[dict[str, list[Row]], int]:
    """The parent's rows less those of erased subjects and answers, and how many these are."""
    splits = {
        split: [row for row in rows if not erased.cover_any(row.answers, *row.whose)]
        for split, rows in parent.splits.items()
    }
    return splits, sum(map(len, parent.splits.values())) - sum(map(len, splits.values()))


def _gold(inherited: Splits) -> dict[Item, Value]:
    """What is known of texts before anybody votes on them: the starter's rows; a consensus would prove itself right."""
    return {text_key(row.text): row.label for rows in inherited.values() for row in rows if row.source != "traffic"}


def _without_repeats(keys: Sequence[str], texts: Mapping[str, Asked], inherited: Splits) -> list[str]:
    """The keys of texts that nearly repeat neither an inherited row nor an earlier text."""
    before = [row.text for rows in inherited.values() for row in rows]
    first = first_alike([*before, *(texts[key].text for key in keys)])
    return [key for place, key in enumerate(keys, len(before)) if first[place] == place]


def _learnable_labels(inherited: Splits, offered: Iterable[tuple[Row, str | None]]) -> set[str]:
    """The inherited labels, and new ones with enough rows to train on."""
    new_rows = Counter(row.label for row, side in offered if side == TRAIN)
    return {row.label for row in inherited[TRAIN]} | {
        label for label, rows in new_rows.items() if rows >= NEW_LABEL_ROWS
    }
