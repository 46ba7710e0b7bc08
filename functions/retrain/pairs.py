"""Freezes the next dataset of comparisons: select, join, screen, weigh, leave out repeats, keep sides apart."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from pawl.identity import isoformat
from pawl.minhash import first_alike
from pawl.pairset import PairDataset, PairRow, freeze_pairs
from pawl.records import CaptureRecord
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from retrain.answers import Compared, Prompt, compare
from retrain.comparisons import Opinion, by_version, opinions
from retrain.freezing import Frozen, Rules
from retrain.gold import Gold
from retrain.paircard import LEFT_OUT, pair_card
from retrain.selection import Selection
from retrain.sides import Belonging, held_out
from retrain.weighing import Preferred, weigh

TRAIN, HOLDOUT, RECENT = "train", "holdout", "recent"
Splits = Mapping[str, Sequence[PairRow]]


def freeze_comparisons(
    selection: Selection,
    parent: PairDataset | None,
    feedback: Iterable[Mapping[str, Any]],
    traffic: Traffic,
    rules: Rules,
    gold: Mapping[str, Gold],
) -> Frozen:
    """The next dataset of a generator: its parent's comparisons, and what people have preferred since.

    Without a parent what is held out becomes the holdout, which every later dataset inherits as it is.
    """
    said = opinions(feedback, rules.erased)
    inherited, erased_rows = _inherited(parent, rules.erased)
    compared = compare(_answers(said.said, selection, traffic, rules.erased), said.said, gold)
    weighed = weigh(compared, said.said, rules.trust, rules.restored)
    left_out = said.left_out + compared.left_out + weighed.without + Counter({"erased row": erased_rows})
    splits = assemble(inherited, compared, weighed.preferred, left_out)
    learned = sum(map(len, splits.values())) - sum(map(len, inherited.values()))
    lineage = {
        "parent": parent.digest if parent else None,
        "version": selection.version,
        "traffic_window": [isoformat(each) for each in selection.window_ms],
        "feedback": learned,
        "raters": weighed.raters,
        "gold": len(compared.gold),
        "left_out": {reason: left_out[reason] for reason in LEFT_OUT},
        "quarantined": dict(weighed.suspicious),
    }
    card = pair_card(selection.model, splits, lineage)
    return Frozen(freeze_pairs(selection.model, splits, lineage, card), learned, weighed.quarantined)


def assemble(
    inherited: Splits, compared: Compared, preferred: Iterable[Preferred], left_out: Counter[str]
) -> dict[str, list[PairRow]]:
    """The splits of the next dataset: what is inherited as it was, and the comparisons that are new."""
    before = [row for rows in inherited.values() for row in rows]
    offered = [_row(each, compared) for each in sorted(preferred, key=lambda each: (each.better, each.worse))]
    alike = _Alike.of([*before, *(row for row, _ in offered)])
    fresh = list(_without_repeats(offered, alike, len(before), left_out))
    belongings = [Belonging(alike.prompts[place], asker) for place, _, asker in fresh]
    sides = held_out(belongings, *_belongings(inherited, alike))
    kept = RECENT if before else HOLDOUT
    splits = {split: list(inherited.get(split, [])) for split in (TRAIN, HOLDOUT, RECENT)}
    for (_, row, _), is_out in zip(fresh, sides, strict=True):
        if is_out is None:
            left_out["both sides"] += 1
        else:
            splits[kept if is_out else TRAIN].append(row)
    return {split: rows for split, rows in splits.items() if rows}


class _Fresh(NamedTuple):
    """A new row, its place among all, and who asked, where that is more than its only rater."""

    place: int
    row: PairRow
    asker: str


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
        """What a comparison has in common with those that nearly repeat it, or say the opposite of nearly the same."""
        one, other = sorted((self.chosen[place], self.rejected[place]))
        return self.prompts[place], one, other


def _without_repeats(
    offered: Sequence[tuple[PairRow, str]], alike: _Alike, start: int, left_out: Counter[str]
) -> Iterator[_Fresh]:
    """What repeats neither an inherited row nor an earlier one, exactly or nearly."""
    seen = {alike.key(place) for place in range(start)}
    for place, (row, asker) in enumerate(offered, start):
        key = alike.key(place)
        if key in seen:
            left_out["repeat"] += 1
        else:
            seen.add(key)
            yield _Fresh(place, row, asker)


def _row(preferred: Preferred, compared: Compared) -> tuple[PairRow, str]:
    """The row of a preference, and who asked, where that is more than its only rater."""
    better, worse = compared.texts[preferred.better], compared.texts[preferred.worse]
    pair = (min(preferred.better, preferred.worse), max(preferred.better, preferred.worse))
    subject, is_rater = compared.subjects[pair]
    answers = tuple(sorted({better.answer, worse.answer} - {""}))
    margin, weight = preferred.margin, preferred.weight
    row = PairRow(better.prompt, better.text, worse.text, margin, weight, {}, "traffic", answers, subject)
    return row, "" if is_rater else subject


def _belongings(inherited: Splits, alike: _Alike) -> tuple[list[Belonging], list[Belonging]]:
    """What the parent trains on and what it holds out; its rows come first among all, split by split."""
    learned, kept, place = list[Belonging](), list[Belonging](), 0
    for split, rows in inherited.items():
        for row in rows:
            (learned if split == TRAIN else kept).append(Belonging(alike.prompts[place], row.subject))
            place += 1
    return learned, kept


def _asked(prompt: Prompt) -> str:
    """What people asked: the rest of a conversation, such as its system prompt, is alike in different ones."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt if message["role"] == "user")


def _inherited(parent: PairDataset | None, erased: Tombstones) -> tuple[dict[str, list[PairRow]], int]:
    """The parent's rows less those of erased subjects and answers, and how many these are."""
    if parent is None:
        return {}, 0
    splits = {
        split: [row for row in rows if not erased.cover_any(row.answers, row.subject)]
        for split, rows in parent.splits.items()
    }
    return splits, sum(map(len, parent.splits.values())) - sum(map(len, splits.values()))


def _answers(
    said: Iterable[Opinion], selection: Selection, traffic: Traffic, erased: Tombstones
) -> Iterator[CaptureRecord]:
    """The captured answers of which something was said, version by version, less those to erased subjects."""
    wanted: dict[str, Set[str]] = {**by_version(said)}
    for version, inference_ids in sorted(wanted.items()):
        for record in traffic.answers(selection.model, version, *selection.window_ms, inference_ids):
            if not erased.cover("", record.subject):
                yield record
