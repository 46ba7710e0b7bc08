"""What becomes of a dropped file of feedback: each row is taken as `POST /feedback` takes it.

JSON, in lines or as an array, has the API's own fields, or is what a tool exports. CSV has the same as columns, an
empty cell for none; `tags` is a JSON object, or each tag has a column `tags.<name>`; a value that is neither text nor a
label is written as JSON. Where a tool exports several pieces in a row, each is taken or refused by itself. Feedback
counts as said when the file was written, so a file that is read late, or again, does not take the place of what was
said since. A row from a device brings its answer along (`feedback.devices`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from feedback.devices import ANSWER, Devices
from feedback.exports import Exported, feedback_in
from feedback.intake import Intake
from feedback.schema import Feedback
from feedback.tally import Tally
from pawl.drops import Drop
from pawl.errors import InvalidRecord, PawlError
from pawl.inbox import Chunk, Fault, Row
from pawl.narrowing import is_object
from pawl.opinions import Opinions, Piece
from pawl.records import CaptureRecord
from pawl.web import explain

RATER = "inbox"
"""Who said it, where a row does not tell."""
_TAGS = "tags."
_TEXTS = ("comment", "demonstration")


@dataclass(frozen=True, slots=True)
class FeedbackFile:
    """Stores the feedback in a file."""

    intake: Intake
    opinions: Opinions
    tally: Tally
    devices: Devices
    now_ms: Callable[[], int]

    def take(self, drop: Drop, chunk: Chunk) -> Sequence[Fault]:
        """Store what a chunk says; the rows that are refused, each with all that is wrong with it."""
        is_csv = drop.key.removesuffix(".gz").endswith(".csv")
        pieces, answers, faults = list[Piece](), list[CaptureRecord](), list[Fault]()
        for row in chunk.rows:
            found, given, wrong = self._read(row, is_csv, drop.modified_ms)
            pieces += found
            answers += given
            if wrong:
                faults.append(Fault(row.line, "; ".join(wrong), row.text))
        self.devices.capture(answers)
        self.opinions.store(pieces, self.now_ms())
        self.tally.note(pieces, self.intake.valid_days)
        return faults

    def finish(self, drop: Drop) -> None:
        """Nothing is left to do: each chunk stands for itself."""

    def _read(self, row: Row, is_csv: bool, said_ms: int) -> tuple[list[Piece], list[CaptureRecord], list[str]]:
        """What a row says, the answers that it brings along, and what is wrong with it."""
        pieces, answers = list[Piece](), list[CaptureRecord]()
        try:
            said = Exported([self._columns(row.values)]) if is_csv else feedback_in(row.values, self.intake.metrics)
        except InvalidRecord as error:
            return [], [], [str(error)]
        wrong = list(said.wrong)
        for each in said.pieces:
            try:
                brought = list[CaptureRecord]()
                if ANSWER in each:
                    each, answer = self.devices.receive(each, said_ms)
                    brought.append(answer)
                feedback = Feedback.model_validate(each)
                piece = self.intake.read(feedback, RATER, said_ms)
            except ValidationError as error:
                wrong.append(explain(error.errors()))
            except PawlError as error:
                wrong.append(str(error))
            else:
                answers += brought
                pieces += [] if feedback.dryrun else [piece]
        return pieces, answers, wrong

    def _columns(self, cells: dict[str, str]) -> dict[str, Any]:
        """A row of CSV as the API would have it."""
        given: dict[str, Any] = {name: cell for name, cell in cells.items() if cell and not name.startswith(_TAGS)}
        metric = self.intake.metrics.get(given.get("metric_name", ""))
        if "value" in given and metric is not None:
            given["value"] = _value(given["value"], metric.type)
        tags = _parsed(given.pop("tags", "{}"))
        named = {name.removeprefix(_TAGS): cell for name, cell in cells.items() if cell and name.startswith(_TAGS)}
        return {**given, "tags": {**tags, **named} if is_object(tags) else tags}


def _value(cell: str, type: str) -> Any:
    if type in _TEXTS or (type == "label" and not cell.startswith("[")):
        return cell
    return _parsed(cell.casefold() if type == "boolean" else cell)  # True, as pandas writes it, is true


def _parsed(cell: str) -> Any:
    """What a cell holds as JSON; itself where it is none."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
