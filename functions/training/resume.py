"""A training that goes on where a lost machine left it: the trainer's newest checkpoint, kept apart from the output.

It is one file, replaced whole, so whoever comes next finds the last finished checkpoint or none. It holds what the
trainer itself writes: weights as safetensors, and the state of optimizer, schedule and random generators, which is read
back as tensors only (transformers asks torch for `weights_only`). `training_args.bin`, the one file that would have to
be unpickled, is left out. Only what names this very run is taken: same run, same data, same settings.
"""

import io
import zipfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pawl.errors import NotFound
from training.storage import Place

FILE = "checkpoint.zip"
_IDENTITY = "identity"
_LEFT_OUT = ("training_args.bin", "README.md")


def processes() -> PartialState:
    """The processes of this training: this one alone, or those that torchrun started.

    Without a GPU accelerate must be told so, or else, until the trainer is there, each process is told that it is alone
    and takes itself for the first.
    """
    return PartialState(cpu=not torch.cuda.is_available())


def _restore(storage: Any, location: str) -> Any:
    """The storage of a CPU with a number, as accelerate calls the one that several processes share; else None."""
    return storage if location.startswith("cpu:") else None


torch.serialization.register_package(100, lambda _: None, _restore)  # torch itself reads back to `cpu` alone


class Checkpoints:
    """The newest checkpoint of the run that `identity` names, in a place that outlives the machine."""

    def __init__(self, place: Place, identity: str) -> None:
        self._place = place
        self._identity = identity

    def fetch(self, folder: Path) -> str | None:
        """Unpack the checkpoint into `folder` and return its path as trainers want it; None when there is none."""
        try:
            packed = self._place.read(FILE)
        except NotFound:
            return None
        if not packed:
            return None
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            if archive.read(_IDENTITY).decode() != self._identity:
                return None
            archive.extractall(folder)
        return str(next(folder.glob("checkpoint-*")))

    def store(self, checkpoint: Path) -> None:
        """Replace the checkpoint by the folder that a trainer wrote."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, mode="w") as archive:
            archive.writestr(_IDENTITY, self._identity)
            for path in sorted(checkpoint.rglob("*")):
                if path.name not in _LEFT_OUT:
                    archive.write(path, path.relative_to(checkpoint.parent))
        self._place.write(FILE, packed.getvalue())

    def forget(self) -> None:
        """Leave nothing to go on from: the run is over. An empty file, since nobody may delete from the bucket."""
        self._place.write(FILE, b"")


class Keeper(TrainerCallback):
    """Has the trainer save every `seconds`, and stores what it saved while the training goes on.

    It looks at the clock every `steps` steps. Of several processes the first decides for all and stores.
    """

    def __init__(
        self, checkpoints: Checkpoints, clock: Callable[[], float], seconds: float = 120.0, steps: int = 10
    ) -> None:
        self._checkpoints = checkpoints
        self._clock = clock
        self._seconds = seconds
        self._steps = steps
        self._last = clock()
        self._thread = ThreadPoolExecutor(1)
        self._storing: Future[None] | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint when it is time, and never for the last step: the run is about to end."""
        if state.global_step % self._steps == 0 and state.global_step < state.max_steps:
            (is_due,) = broadcast_object_list([self._is_due()])
            control.should_save = bool(is_due)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Store what was saved, once every process has written its part."""
        processes().wait_for_everyone()
        if state.is_world_process_zero:
            self._wait()
            saved = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            self._storing = self._thread.submit(self._checkpoints.store, saved)
        self._last = self._clock()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wait for what is still being stored."""
        self._wait()

    def _is_due(self) -> bool:
        """Whether it is time, and the checkpoint before is stored; raises what went wrong with that."""
        if self._storing is not None and not self._storing.done():
            return False
        self._wait()
        return self._clock() - self._last >= self._seconds

    def _wait(self) -> None:
        if self._storing is not None:
            self._storing.result()
            self._storing = None
