"""Preference tuning by TRL and PEFT: from a checkpoint, comparisons and perhaps a judge to the adapter that was best.

    dpo           learns from the compared answers themselves
    kto           learns from them, and from thumbs on single ones
    grpo, rloo    learn from the policy's own answers, rewarded by an exported reward model as it is served

Nothing here exports or serves: this half of the recipe runs wherever torch does. All methods hold the policy near its
reference, which is the model as it was when the run began, by the same `beta`.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedTokenizerFast, PrinterCallback, Trainer, TrainerCallback
from trl import DPOConfig, GRPOConfig, GRPOTrainer, KTOConfig, RLOOConfig, RLOOTrainer

from pawl.errors import InvalidDataset, UnsupportedRequest
from pawl.examples import Prompt
from pawl.pairset import PairRow
from pawl.raters import sums
from training.adapter import Weights, config_of, joined, merge, weights_of
from training.align_knobs import BY_REWARD, METHODS, Knobs
from training.checkpoint import Checkpoint
from training.curves import Chronicle
from training.divergence import Divergence, Floats, divergence
from training.halves import precision_here, switches
from training.looks import Look, gold
from training.policy import Encoded, encode, log_probabilities, prompt_ids, sample, tokenizer_of
from training.progress import RunReport
from training.resume import processes
from training.trainers import WeightedDPO, WeightedKTO, alike, balance, pair_rows, prompt_rows, taught, thumb_rows
from training.watch import Rules, Watch

TRIED_MARGINS = 64
"""Pairs trained on whose margins stand for the reward where no judge is at hand."""
TOLD = {"loss": "loss", "rewards/margins": "margin", "reward": "train_reward", "kl": "train_kl"}
"""What the trainers log that is told, by its name there; `train_kl` is the trainer's own estimate on its own rows."""
Judge = Callable[[Sequence[Prompt], Sequence[str]], Floats]
"""Rewards (rows,) of answers to prompts."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it: the adapter over the base, scaled by 1, and how it was found."""

    weights: Weights
    looks: list[Look]
    best: Look
    steps: int
    was_stopped: bool
    divergence: Divergence
    """Of the best state, on the prompts that nothing was chosen by."""


def tune(
    checkpoint: Checkpoint,
    parent: Weights | None,
    rows: Sequence[PairRow],
    unseen: Sequence[Prompt],
    judge: Judge | None,
    knobs: Knobs,
    folder: Path,
    report: RunReport,
    keeper: TrainerCallback | None = None,
    resumed: str | None = None,
) -> Tuned:
    """Align the checkpoint with `parent`'s adapter on `rows`; `unseen` prompts are for the last measurement alone.

    `folder` takes what the trainer writes; `resumed` is a checkpoint of the same run to go on from.
    """
    learned, held_back = divide(alike(rows), knobs)
    model = checkpoint.model()
    model.generation_config.eos_token_id = checkpoint.eos_ids
    if parent is not None:
        merge(model, parent)
    tokenizer = tokenizer_of(checkpoint)
    trainer = trainer_of(model, tokenizer, learned, judge, knobs, folder)
    trainer.remove_callback(PrinterCallback)
    policy: Any = trainer.model
    eyes = Eyes(policy, tokenizer, checkpoint.eos_ids, learned, held_back, judge, knobs)
    steps = trainer.args.max_steps
    watch = Watch(policy, eyes.look, Rules(max(1, steps // knobs.looks), knobs.patience, knobs.most_kl), report)
    trainer.add_callback(Chronicle(report, TOLD, (0.1, 0.65)))
    trainer.add_callback(watch)
    if keeper is not None:
        trainer.add_callback(keeper)  # after the watch, whose files it stores as well
    watch.begin(resumed)
    trainer.train(resume_from_checkpoint=resumed)
    best = watch.restore_best()
    measured = eyes.divergence(unseen, knobs.seed)
    scale = config_of(knobs.rank).lora_alpha / knobs.rank
    weights = joined(parent, weights_of(policy), scale)
    return Tuned(weights, watch.looks, best, trainer.state.global_step, watch.was_stopped, measured)


def divide(rows: Sequence[PairRow], knobs: Knobs) -> tuple[list[PairRow], list[PairRow]]:
    """Rows to learn from and rows to look at, of those that say something to the method; a prompt is on one side only.

    InvalidDataset when there are too few different prompts for both.
    """
    prompts = sorted({repr(row.prompt) for row in taught(rows, knobs.method)})
    if len(prompts) < 2:
        raise InvalidDataset(
            f"train has {len(prompts)} prompts that {knobs.method} learns from: alignment needs two at least, "
            "compared answers to them, or for kto thumbs"
        )
    random.Random(knobs.seed).shuffle(prompts)
    chosen = set(prompts[: max(1, round(len(prompts) * knobs.gold_share))])
    held_back = [row for row in taught(rows, knobs.method) if repr(row.prompt) in chosen]
    return [row for row in rows if repr(row.prompt) not in chosen], held_back


# --- The trainer ------------------------------------------------------------------------------------------------------


def trainer_of(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[PairRow],
    judge: Judge | None,
    knobs: Knobs,
    folder: Path,
) -> Trainer:
    """TRL's trainer of the method, with a fresh adapter over the model."""
    given: dict[str, Any] = {"model": model, "processing_class": tokenizer, "peft_config": config_of(knobs.rank)}
    if knobs.method == "dpo":
        data = pair_rows(taught(rows, knobs.method))
        own = _arguments(knobs, folder, len(data))
        args = DPOConfig(**own, beta=knobs.beta, max_length=knobs.max_tokens)
        return WeightedDPO(**given, args=args, train_dataset=data)
    if knobs.method == "kto":
        data = thumb_rows(rows)
        own = _arguments(knobs, folder, len(data))
        args = KTOConfig(**own, **balance(data), beta=knobs.beta, max_length=knobs.max_tokens)
        return WeightedKTO(**given, args=args, train_dataset=data)
    if knobs.method not in BY_REWARD:
        raise UnsupportedRequest(f"no method {knobs.method!r}: want one of {', '.join(METHODS)}")
    if judge is None:
        raise UnsupportedRequest(f"{knobs.method} learns from rewards: name a reward model's bundle by --reward")
    data = prompt_rows(rows)
    own: dict[str, Any] = _arguments(knobs, folder, len(data) * knobs.generations) | {
        "beta": knobs.beta,
        "num_generations": knobs.generations,
        "max_completion_length": knobs.answer_tokens,
        "temperature": 1.0,
    }
    rewards: dict[str, Any] = {**given, "reward_funcs": reward_function(judge), "train_dataset": data}
    if knobs.method == "grpo":
        return GRPOTrainer(**rewards, args=GRPOConfig(**own))
    return RLOOTrainer(**rewards, args=RLOOConfig(**own))


def _arguments(knobs: Knobs, folder: Path, rows: int) -> dict[str, Any]:
    """What every trainer is told. Several processes share the rows: `accelerate` and `torchrun` are respected."""
    has_gpu = torch.cuda.is_available()
    steps = knobs.steps or max(1, knobs.epochs * rows // (knobs.batch_rows * processes().num_processes))
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": knobs.batch_rows,
        "learning_rate": knobs.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": max(1, steps // 10),
        "seed": knobs.seed,
        "data_seed": knobs.seed,
        **switches(precision_here(knobs.precision)),
        "use_cpu": not has_gpu,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": has_gpu,
        "logging_steps": max(1, steps // 50),
        "save_strategy": "no",  # the keeper says when
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
    }


def reward_function(judge: Judge) -> Callable[..., list[float]]:
    """The judge as TRL asks it: prompts and completions of a batch, either as texts or as messages."""

    def reward(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        texts = [each if isinstance(each, str) else each[-1]["content"] for each in completions]
        return judge(prompts, texts).tolist()

    return reward


# --- What is looked at ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """Answers that people told good (1) or bad (-1), each with its log probability under the reference and its row."""

    encoded: list[Encoded]
    known: Floats
    signs: Floats
    rows: NDArray[np.int64]


class Eyes:
    """Measures the policy against its reference: on held-back rows, and on its own answers to their prompts."""

    def __init__(
        self,
        policy: PeftModel,
        tokenizer: PreTrainedTokenizerFast,
        eos_ids: Sequence[int],
        learned: Sequence[PairRow],
        held_back: Sequence[PairRow],
        judge: Judge | None,
        knobs: Knobs,
    ) -> None:
        self._policy = policy
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._judge = judge
        self._knobs = knobs
        self._gold = self._told(held_back)
        self._weights = np.array([row.weight for row in held_back])
        self._tried = self._told([] if judge else taught(learned, knobs.method)[:TRIED_MARGINS])
        prompts = {repr(row.prompt): row.prompt for row in held_back}
        self._prompts = list(prompts.values())[: knobs.look_prompts]

    def look(self, step: int) -> Look:
        """The policy as it is now."""
        answers = self._sample(self._prompts, self._knobs.seed + step)
        moved = self._divergence(answers)
        preferred, error, accuracy = gold(self._margins(self._gold, moved), self._weights)
        if self._judge:
            texts = [str(self._tokenizer.decode(row.answer, skip_special_tokens=True)) for row in answers]
            reward = float(self._judge(self._prompts, texts).mean())
        else:
            reward = float(self._margins(self._tried, moved).mean())
        length = float(np.mean([len(row.answer) for row in answers]))
        kl = (moved.per_token, moved.per_answer, moved.error)
        return Look(step, *(round(each, 6) for each in (reward, preferred, error, accuracy, *kl, length)))

    def divergence(self, prompts: Sequence[Prompt], seed: int) -> Divergence:
        """The policy's divergence from its reference on its own answers to these prompts."""
        return self._divergence(self._sample(prompts, seed))

    def _sample(self, prompts: Sequence[Prompt], seed: int) -> list[Encoded]:
        room = self._knobs.max_tokens - self._knobs.answer_tokens
        ids = [prompt_ids(self._tokenizer, prompt)[-room:] for prompt in prompts]
        return sample(self._policy, ids, self._eos_ids, self._pad, self._knobs.answer_tokens, seed)

    def _divergence(self, answers: Sequence[Encoded]) -> Divergence:
        ours, theirs = (log_probabilities(self._policy, answers, self._pad, is_reference=off) for off in (False, True))
        return divergence(ours, theirs)

    def _told(self, rows: Sequence[PairRow]) -> Told:
        """Each answer of the rows, as far as they have both."""
        texts = [
            (place, row.prompt, text, sign)
            for place, row in enumerate(rows)
            for text, sign in ((row.chosen, 1.0), (row.rejected, -1.0))
            if text
        ]
        encoded = [encode(self._tokenizer, prompt, text, self._knobs.max_tokens) for _, prompt, text, _ in texts]
        known = log_probabilities(self._policy, encoded, self._pad, is_reference=True)
        signs, places = np.array([sign for *_, sign in texts]), np.array([place for place, *_ in texts], np.int64)
        return Told(encoded, np.array([each.sum() for each in known]), signs, places)

    def _margins(self, told: Told, moved: Divergence) -> Floats:
        """Beta times a pair's difference of log ratios, or how far a thumb's lies beyond the divergence: (rows,).

        The latter is what KTO weighs; how far the policy has moved in all cancels out of a pair.
        """
        now = log_probabilities(self._policy, told.encoded, self._pad)
        beyond = np.array([each.sum() for each in now]) - told.known - max(0.0, moved.per_answer)
        return self._knobs.beta * sums(told.rows, told.signs * beyond, int(told.rows.max(initial=-1)) + 1)

    @property
    def _pad(self) -> int:
        return int(self._tokenizer.pad_token_id)  # type: ignore[arg-type]
