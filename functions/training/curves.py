"""A training's course: what its trainer logs goes to `run.json`, and at the end to `curves.png` beside it."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.progress import RunReport

FILE = "curves.png"


class Chronicle(TrainerCallback):
    """Tells a report what the trainer logs: of each entry, the values under the names in `told`, by their names there.

    `span` is the part of the whole run that the training is.
    """

    def __init__(self, report: RunReport, told: Mapping[str, str], span: tuple[float, float]) -> None:
        self._report = report
        self._told = told
        self._span = span

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take down again what a training that is gone on with had logged before."""
        for entry in state.log_history:
            self._tell(entry, int(entry["step"]), state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take down one entry."""
        self._tell(logs or {}, state.global_step, state)

    def _tell(self, logs: Mapping[str, Any], step: int, state: TrainerState) -> None:
        """The trainer's last entry, a summary of times, holds none of the names."""
        values = {name: float(logs[key]) for key, name in self._told.items() if key in logs}
        if values and state.is_world_process_zero:
            begin, end = self._span
            self._report.step(step, begin + (end - begin) * step / max(1, state.max_steps), **values)


def draw(steps: Sequence[Mapping[str, Any]], panels: Mapping[str, Sequence[str]]) -> bytes:
    """A PNG of curves over steps: a panel for each title, with a line for each of its names that was ever told."""
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name in names:
            points = [(each["step"], each[name]) for each in steps if name in each]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=name.replace("_", " "), marker="." if len(points) < 12 else ""
                )
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120, metadata={"Software": None})
    return drawn.getvalue()
