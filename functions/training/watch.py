"""Looks at a model while it is aligned: keeps the best state, and ends what is over-optimized.

What it has seen goes into each checkpoint that the trainer writes, so that a run that was cut off goes on with it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.adapter import Weights, set_weights, weights_of
from training.looks import Look, is_better, is_over_optimized
from training.progress import RunReport

SEEN, BEST = "looks.json", "best.safetensors"


@dataclass(frozen=True, slots=True)
class Rules:
    """When to look, and when that is enough."""

    steps: int
    """Steps between two looks; the last step is looked at in any case."""
    patience: int
    """Over-optimized looks in a row that end the run."""
    most_kl: float
    """Nats an answer beyond which no state is kept."""


class Watch(TrainerCallback):
    """Takes `look` at the model before the first step, every so many steps, and after the last one."""

    def __init__(self, model: PeftModel, look: Callable[[int], Look], rules: Rules, report: RunReport) -> None:
        self._model = model
        self._look = look
        self._rules = rules
        self._report = report
        self._over_optimized = 0
        self._weights: Weights = {}
        self.looks: list[Look] = []
        self.best: Look | None = None
        self.was_stopped = False

    def begin(self, checkpoint: str | None) -> None:
        """Go on with what a checkpoint has seen; without one, look at the untouched model."""
        if checkpoint is None:
            self._take(0)
            return
        seen = json.loads((Path(checkpoint) / SEEN).read_text(encoding="utf-8"))
        self.looks = [Look(**each) for each in seen["looks"]]
        self.best = Look(**seen["best"])
        self._over_optimized = seen["over_optimized"]
        self._weights = load_file(Path(checkpoint) / BEST)

    def restore_best(self) -> Look:
        """Put the best state back into the model, and return what it looked like."""
        assert self.best is not None  # begin() has looked
        set_weights(self._model, self._weights)
        return self.best

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look when it is time, and end the run once the reward has risen against gold for long enough."""
        if state.global_step % self._rules.steps == 0 or state.global_step == state.max_steps:
            self._take(state.global_step, state.global_step / state.max_steps)
            if self._over_optimized >= self._rules.patience:
                self.was_stopped = True
                control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Add to the checkpoint what was seen so far."""
        assert self.best is not None
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            seen = {
                "looks": [asdict(look) for look in self.looks],
                "best": asdict(self.best),
                "over_optimized": self._over_optimized,
            }
            (folder / SEEN).write_text(json.dumps(seen), encoding="utf-8")
            save_file(self._weights, folder / BEST)

    def _take(self, step: int, share: float = 0.0) -> None:
        """Look, and keep the state if it is the best so far; of several processes the first one's word counts."""
        (look,) = broadcast_object_list([self._look(step)])
        self.looks.append(look)
        seen = asdict(look)
        self._report.step(seen.pop("step"), 0.1 + 0.55 * share, **seen)
        highest = self._highest()
        if self.best is None or is_better(look, self.best, highest, self._rules.most_kl):
            self.best, self._weights, self._over_optimized = look, weights_of(self._model), 0
        elif is_over_optimized(look, self.best, highest) or look.kl_per_answer > self._rules.most_kl:
            self._over_optimized += 1
        else:
            self._over_optimized = 0

    def _highest(self) -> Look:
        """The look with the most gold of those that may be kept, the newest included; checkpoints hold them all."""
        within = (look for look in self.looks if look.kl_per_answer <= self._rules.most_kl)
        return max(within, key=lambda look: look.gold, default=self.looks[0])
