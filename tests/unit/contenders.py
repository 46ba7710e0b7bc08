"""Models for the gates to judge that answer as they are told to, and rows to ask them about."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pawl.bundle import Manifest
from pawl.dataset import Row
from pawl.model import Answer, Column, Parameter
from release.answers import Both, ask_both

ROWS = [Row(f"text {n}", "outage" if n % 2 else "billing") for n in range(100)]
Wrong = Callable[[str], bool]


class Clock:
    """A clock that stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeModel:
    """A model of two labels that is wrong about some texts, says how sure it is, and takes its time by the clock."""

    def __init__(
        self,
        manifest: Manifest,
        wrong: int | Wrong = 0,
        clock: Clock | None = None,
        took: Sequence[float] = (),
        sure: float = 0.9,
        rows: Sequence[Row] = ROWS,
    ) -> None:
        self.manifest = manifest
        self.digest = ""
        self.asked: list[list[str]] = []
        self._clock = clock
        self._took: Iterator[float] = iter(took)
        self._sure = sure
        places = {text: place for place, text in enumerate(dict.fromkeys(row.text for row in rows))}
        self._right = {row.text: row.label for row in rows}
        self._is_wrong: Wrong = (lambda text: places[text] < wrong) if isinstance(wrong, int) else wrong

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        texts = list(inputs["text"])
        self.asked.append(texts)
        if self._clock:
            self._clock.now += next(self._took)
        return Answer({"probabilities": [self._probabilities(text) for text in texts]}, dict)

    def _probabilities(self, text: str) -> list[float]:
        """Of `billing` and `outage`: a text that it is wrong about gets the label that is not its own."""
        is_outage = (self._right.get(text) == "outage") != self._is_wrong(text)
        return [1 - self._sure, self._sure] if is_outage else [self._sure, 1 - self._sure]


def both_of(
    manifest: Manifest,
    new: int | Wrong,
    old: int | Wrong,
    rows: Sequence[Row] = ROWS,
    sure: tuple[float, float] = (0.9, 0.9),
) -> Both:
    """What a candidate and a live version answer, wrong about the first so many texts or about those that are told."""
    models = [FakeModel(manifest, wrong, rows=rows, sure=each) for wrong, each in zip((new, old), sure, strict=True)]
    return ask_both(*models, rows, len(rows))


def changed(manifest: Manifest, **changes: Any) -> Manifest:
    """The manifest with other fields."""
    return replace(manifest, **changes)
