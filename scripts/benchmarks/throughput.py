"""What our loop adds to trl's own trainer: tokens a second of both on the same rows, in turns in one process.

Ours weighs rows, writes `run.json` at each log and looks at the clock for checkpoints; trl's own does neither. A
checkpoint is too seldom to fall into a turn: what the training waits for one is measured apart. On a CPU the seconds
are the process' own, of all its threads, so that neighbours on the machine do not count.
"""

import os
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers.trainer_callback import PrinterCallback
from trl.trainer.reward_trainer import RewardTrainer

from pawl.pairset import PairRow
from training.curves import Chronicle
from training.judge import load_base
from training.pairs import Pairs, PreferenceTrainer, WeighedCollator, encode, processing_of
from training.progress import RunReport
from training.resume import Checkpoints, Keeper
from training.reward import TOLD, arguments, device, release_layers
from training.reward_knobs import Knobs
from training.storage import Folder

STEPS, TURNS = 12, 5
WHOLE = 400
"""Steps of the training that a turn stands for: as seldom is there a log."""


class _BareTrainer(RewardTrainer):
    """trl's trainer as it is, but for what it would tell the outside."""

    def _send_telemetry(self) -> None:
        """Nothing."""


def compare(
    source: str, rows: Sequence[PairRow], knobs: Knobs, steps: int = STEPS, turns: int = TURNS
) -> dict[str, Any]:
    """Median tokens a second of both, the median ratio of a turn, and the share of time that checkpoints take."""
    took: dict[str, list[float]] = {"ours": [], "trl": []}
    waits: list[float] = []
    for turn in range(turns + 1):
        for name in ("ours", "trl") if turn % 2 else ("trl", "ours"):
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
                speed, wait = _turn(name == "ours", source, rows, knobs, steps)
            if turn > 0:  # the first warms up
                took[name].append(speed)
                waits += [wait] if name == "ours" else []
    speeds = {name: median(speeds) for name, speeds in took.items()}
    return {
        "trl_tokens_ratio": median(ours / trl for ours, trl in zip(took["ours"], took["trl"], strict=True)),
        "tokens_per_s": speeds,
        "turns": {name: [round(speed) for speed in speeds] for name, speeds in took.items()},
        "checkpoint_share": median(waits) / knobs.checkpoint_seconds,
    }


def _turn(is_ours: bool, source: str, rows: Sequence[PairRow], knobs: Knobs, steps: int) -> tuple[float, float]:
    """Tokens a second of one short training, and the seconds that it waits for a checkpoint afterwards."""
    torch.manual_seed(knobs.seed)
    with TemporaryDirectory() as scratch:
        base = load_base(source, knobs.dimensions, Path(scratch) / "base")
        pairs = encode(rows[: steps * knobs.batch_rows], base, knobs.max_tokens)
        release_layers(base.judge, knobs.tuned_layers)
        given: dict[str, Any] = {
            "model": base.judge,
            "args": arguments(base, knobs, WHOLE, Path(scratch) / "trained"),
            "processing_class": processing_of(base),
        }
        given["args"].num_train_epochs, given["args"].eval_strategy = 1, "no"
        trainer = _ours(pairs, given, knobs, Path(scratch)) if is_ours else _trl(pairs, given)
        trainer.remove_callback(PrinterCallback)
        clock = time.perf_counter if device().type == "cuda" else time.process_time
        began = clock()
        trainer.train()
        seconds = clock() - began
        began = time.perf_counter()
        trainer._save_checkpoint(trainer.model, None)
        return sum(map(len, [*pairs.chosen, *pairs.rejected])) / seconds, time.perf_counter() - began


def _ours(pairs: Pairs, given: dict[str, Any], knobs: Knobs, scratch: Path) -> RewardTrainer:
    report = RunReport(Folder(scratch / "report"), "turn", time.monotonic)
    checkpoints = Checkpoints(Folder(scratch / "checkpoint"), "turn")
    keeper = Keeper(checkpoints, time.monotonic, knobs.checkpoint_seconds, knobs.checkpoint_steps)
    collator = WeighedCollator(pad_token_id=given["processing_class"].pad_token_id)
    callbacks = [Chronicle(report, TOLD, (0, 1)), keeper]
    return PreferenceTrainer(**given, data_collator=collator, train_dataset=pairs.dataset(), callbacks=callbacks)


def _trl(pairs: Pairs, given: dict[str, Any]) -> RewardTrainer:
    return _BareTrainer(**given, train_dataset=pairs.dataset().select_columns(["chosen_ids", "rejected_ids"]))
