"""What our loop adds to trl's own trainers, in tokens a second: the same rows, weights and steps, a step in turn.

Ours weighs rows, writes `run.json` at each log and looks at the clock for checkpoints; trl's own does neither. Both end
with the same loss, for every weight is 1. Reward models are the packaged MiniLM; DPO trains a Llama of 12 million
random weights, so that a step takes a fraction of a second on one thread, where whatever we add weighs more than on a
model of use. No checkpoint falls into a step here, and a look at the policy is what trl calls an evaluation: what both
cost is measured apart.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from transformers.trainer_callback import PrinterCallback
from trl import DPOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from benchmarks.pacing import WARM_UP, Floats, in_turn, ratio
from pawl.pairset import PairRow
from training.adapter import config_of
from training.align_knobs import Knobs as AlignKnobs
from training.checkpoint import Checkpoint, open_checkpoint
from training.curves import Chronicle
from training.judge import load_base
from training.pairs import PreferenceTrainer, WeighedCollator, encode, processing_of
from training.policy import encode as encode_answer
from training.policy import tokenizer_of
from training.progress import RunReport
from training.resume import Checkpoints, Keeper
from training.reward import TOLD, arguments, release_layers
from training.reward_knobs import Knobs
from training.storage import Folder
from training.trainers import WEIGHT, pair_rows, taught
from training.tuning import TOLD as TOLD_OF_POLICY
from training.tuning import Eyes, trainer_of

STEPS, QUICK_STEPS, TURNS = 288, 40, 24
WHOLE = 400
"""Steps of the training that is measured a part of: as seldom is there a log."""
SHORT = {"batch_rows": 2, "max_tokens": 128}
"""Knobs of `reward` for short steps: what we add to one weighs sixteen times as much as in the recipe's own."""
SMALL = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}
POLICY = AlignKnobs(batch_rows=2, rank=8, max_tokens=96, answer_tokens=32, look_prompts=8)
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def compare(trainers: Callable[[Path], Sequence[Trainer]], tokens: float, turns: int) -> dict[str, Any]:
    """Our tokens a second against trl's, with a 95 % interval; `tokens` are those of a mean step.

    Each turn has trainers of its own, ours first in every other: where a model's weights happen to lie, and who goes
    first, moves all steps of a turn by some hundredths alike, so the interval is over turns and not over steps.
    """
    taken = [_turn(trainers, place % 2 == 0) for place in range(turns)]
    ours, theirs = (np.concatenate([turn[place] for turn in taken]) for place in range(2))
    *_, losses, waited = taken[0]
    found, low, high = ratio(*(np.array([turn[place].sum() for turn in taken]) for place in range(2)))
    return {
        "ratio": found,
        "low": low,
        "high": high,
        "steps": len(ours),
        "turns": turns,
        "step_seconds": [round(float(each.mean()), 4) for each in (ours, theirs)],
        "tokens_per_s": [round(tokens / float(each.mean())) for each in (ours, theirs)],
        "losses": losses,
        "checkpoint_s": waited,
    }


def _turn(
    trainers: Callable[[Path], Sequence[Trainer]], is_ours_first: bool
) -> tuple[Floats, Floats, list[float], float]:
    """The seconds of our steps and of trl's, the losses of both, and the seconds that we wait for a checkpoint."""
    with TemporaryDirectory() as scratch, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        ours, theirs = trainers(Path(scratch))
        for trainer in (ours, theirs):
            trainer.remove_callback(PrinterCallback)
        seconds = in_turn((ours, theirs)) if is_ours_first else in_turn((theirs, ours))[::-1]
        began = time.perf_counter()
        ours._save_checkpoint(ours.model, None)  # pyright: ignore[reportPrivateUsage]
        waited = time.perf_counter() - began
        return *seconds, [each.state.log_history[-1]["train_loss"] for each in (ours, theirs)], waited


# --- Reward models ----------------------------------------------------------------------------------------------------


def compare_rewards(
    source: str, rows: Sequence[PairRow], knobs: Knobs | None = None, steps: int = STEPS
) -> dict[str, Any]:
    """Our reward trainer against trl's, and the share of a training's time that its checkpoints take."""
    knobs = knobs or replace(Knobs(), **SHORT)
    turns = min(TURNS, steps // 2)
    wanted = rows[: (steps // turns + WARM_UP) * knobs.batch_rows]
    tokens = list[int]()

    def trainers(scratch: Path) -> list[Trainer]:
        return [_reward_trainer(is_ours, source, wanted, knobs, scratch, tokens) for is_ours in (True, False)]

    found = compare(trainers, 0.0, turns)
    mean = sum(tokens) / len(tokens) / (len(wanted) / knobs.batch_rows)
    speeds = [round(mean / seconds) for seconds in found["step_seconds"]]
    return {**found, "tokens_per_s": speeds, "checkpoint_share": found["checkpoint_s"] / knobs.checkpoint_seconds}


def _reward_trainer(
    is_ours: bool, source: str, rows: Sequence[PairRow], knobs: Knobs, scratch: Path, tokens: list[int]
) -> RewardTrainer:
    torch.manual_seed(knobs.seed)
    base = load_base(source, knobs.dimensions, scratch / f"base-{is_ours}")
    pairs = encode(rows, base, knobs.max_tokens)
    tokens.append(sum(map(len, [*pairs.chosen, *pairs.rejected])))
    release_layers(base.judge, knobs.tuned_layers)
    given: dict[str, Any] = {
        "model": base.judge,
        "args": arguments(base, knobs, WHOLE, scratch / f"trained-{is_ours}"),
        "processing_class": processing_of(base),
    }
    given["args"].num_train_epochs, given["args"].eval_strategy = 1, "no"
    if not is_ours:
        return _BareReward(**given, train_dataset=pairs.dataset().select_columns(["chosen_ids", "rejected_ids"]))
    collator = WeighedCollator(pad_token_id=given["processing_class"].pad_token_id)
    callbacks = [Chronicle(_report(scratch), TOLD, (0, 1)), _keeper(scratch, knobs)]
    return PreferenceTrainer(**given, data_collator=collator, train_dataset=pairs.dataset(), callbacks=callbacks)


class _BareReward(RewardTrainer):
    """trl's trainer as it is, but for what it would tell the outside."""

    def _send_telemetry(self) -> None:
        """Nothing."""


# --- Policies ---------------------------------------------------------------------------------------------------------


def compare_policies(rows: Sequence[PairRow], knobs: AlignKnobs = POLICY, steps: int = STEPS) -> dict[str, Any]:
    """Our DPO trainer against trl's, and how many of its steps take as long as a look at the policy."""
    with TemporaryDirectory() as made:
        checkpoint = small_llama(rows, Path(made))
        turns = min(TURNS, steps // 2)
        wanted = taught(rows, knobs.method)[: (steps // turns + WARM_UP) * knobs.batch_rows]
        tokenizer = tokenizer_of(checkpoint)
        lengths = [
            len(each.prompt) + len(each.answer)
            for row in wanted
            for text in (row.chosen, row.rejected)
            for each in (encode_answer(tokenizer, row.prompt, text, knobs.max_tokens),)
        ]
        looks = list[float]()

        def trainers(scratch: Path) -> list[Trainer]:
            ours = _our_dpo(checkpoint, wanted, knobs, scratch)
            looks.append(_look(ours, checkpoint, rows[-32:], knobs))
            return [ours, _bare_dpo(checkpoint, wanted, ours.args, knobs)]

        found = compare(trainers, sum(lengths) / (len(wanted) / knobs.batch_rows), turns)
    return {**found, "look_steps": looks[0] / found["step_seconds"][0]}


def small_llama(rows: Sequence[PairRow], folder: Path) -> Checkpoint:
    """A decoder with random weights, and a vocabulary made of the rows' own answers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True) for token in SPECIAL]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(vocab_size=4096, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([row.chosen for row in rows], trainer)
    torch.manual_seed(0)
    config = LlamaConfig(**SMALL, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=1024, eos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return open_checkpoint(str(folder), folder / "unpacked")


def _our_dpo(checkpoint: Checkpoint, rows: Sequence[PairRow], knobs: AlignKnobs, scratch: Path) -> Trainer:
    trainer = trainer_of(checkpoint.model(), tokenizer_of(checkpoint), rows, None, knobs, scratch / "trained")
    trainer.args.logging_steps = max(1, WHOLE // 50)
    trainer.add_callback(Chronicle(_report(scratch), TOLD_OF_POLICY, (0, 1)))
    trainer.add_callback(_keeper(scratch, knobs))
    return trainer


def _bare_dpo(checkpoint: Checkpoint, rows: Sequence[PairRow], like: Any, knobs: AlignKnobs) -> Trainer:
    args = copy(like)
    args.output_dir = f"{like.output_dir}-bare"
    data = pair_rows(rows).remove_columns(WEIGHT)
    given: dict[str, Any] = {"processing_class": tokenizer_of(checkpoint), "peft_config": config_of(knobs.rank)}
    return DPOTrainer(checkpoint.model(), args=args, train_dataset=data, **given)


def _look(trainer: Trainer, checkpoint: Checkpoint, held_back: Sequence[PairRow], knobs: AlignKnobs) -> float:
    """The processor seconds of a look at the policy: held-back pairs, and answers to their prompts."""
    policy: Any = trainer.model
    eyes = Eyes(policy, tokenizer_of(checkpoint), checkpoint.eos_ids, held_back, held_back, None, knobs)
    began = time.thread_time()
    eyes.look(0)
    return time.thread_time() - began


# --- What ours has besides --------------------------------------------------------------------------------------------


def _report(scratch: Path) -> RunReport:
    return RunReport(Folder(scratch / "report"), "turn", time.monotonic)


def _keeper(scratch: Path, knobs: Knobs | AlignKnobs) -> Keeper:
    checkpoints = Checkpoints(Folder(scratch / "checkpoint"), "turn")
    return Keeper(checkpoints, time.monotonic, knobs.checkpoint_seconds, knobs.checkpoint_steps)
