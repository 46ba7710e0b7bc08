"""Comparisons and thumbs of a dataset as the rows that TRL's trainers take, by the trainer's name.

    sft     what people wrote, chose or liked, less what they found another answer better than
    dpo     comparisons; also for reward models
    kto     both answers of a comparison, and thumbs
    grpo    what was asked; also for RLOO

A row of no weight says nothing: its raters are worth nothing, or contradict each other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from pawl.examples import Answer, Preference, Row, grpo_rows, kto_row, preference_row, sft_row
from pawl.pairset import PairRow


def trl_rows(rows: Sequence[PairRow], trainer: str) -> list[Row]:
    """Rows for a trainer of TRL, one of TRAINERS, in the dataset's order.

    >>> trl_rows([PairRow("Name a bird.", "A wren.", "A bat.")], "sft")
    [{'prompt': 'Name a bird.', 'completion': 'A wren.'}]
    """
    return list(TRAINERS[trainer]([row for row in rows if row.weight > 0]))


def thumbs_of(row: PairRow) -> list[Row]:
    """A row as KTO has it: each of its answers, and whether that is good."""
    told = ((row.chosen, True), (row.rejected, False))
    return [kto_row(Answer(row.prompt, text), is_good) for text, is_good in told if text]


def _thumbs(rows: Sequence[PairRow]) -> Iterator[Row]:
    return (each for row in rows for each in thumbs_of(row))


def _comparisons(rows: Sequence[PairRow]) -> Iterator[Row]:
    return (preference_row(Preference(row.prompt, row.chosen, row.rejected)) for row in rows if not row.is_thumb)


def _demonstrations(rows: Sequence[PairRow]) -> Iterator[Row]:
    """Each answer once; of a ranking only the first, since every other one is worse than it."""
    worse = {(repr(row.prompt), row.rejected) for row in rows}
    best = {(repr(row.prompt), row.chosen): Answer(row.prompt, row.chosen) for row in rows if row.chosen}
    return (sft_row(answer) for key, answer in best.items() if key not in worse)


TRAINERS: Mapping[str, Callable[[Sequence[PairRow]], Iterator[Row]]] = {
    "sft": _demonstrations,
    "dpo": _comparisons,
    "kto": _thumbs,
    "grpo": lambda rows: grpo_rows(row.prompt for row in rows),
}
