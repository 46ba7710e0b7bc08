"""Pairs of answers that raters are to compare: files `pairs/<model>/<name>.jsonl` of the bucket, one pair a line.

    {"prompt": "Name a bird.", "answers": [{"text": "Wren.", "inference_id": "1...."}, {"text": "Cat.", ...}]}
    {"prompt": "Name a bird.", "answers": [{"text": "Wren."}, {"text": "Cat."}], "inference_id": "1....", "gold": 1}

Answers have their own receipts, or are texts beside that of an answer to the same prompt, as a preference has them.
`gold` is the number of the answer that is known to be better, 0 for neither, and never leaves the server; `chance` is
how likely a reward model takes the first answer to be better. Personal data is masked when a file is added, and again
when it is read, for others may write files too: raters see, and say, what is kept of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from feedback.schema import Id, Strict, Text
from pawl.errors import InvalidReceipt, InvalidRecord, write_log
from pawl.masking import Masker, Policy
from pawl.offered import Offered
from pawl.receipt import Receipt
from pawl.web import explain

if TYPE_CHECKING:
    from pawl.bucket import Bucket

FILE_PAIRS = 2_000
"""A file holds so many: the function keeps all of a model's in its memory."""
_REMEMBERED = 64
_MOST_TOLD = 20
"""So many lines of a file that hold no pair are told of."""


class Answer(Strict):
    """One of two answers, with its receipt where it has one."""

    text: Text
    inference_id: Id | None = None

    @property
    def name(self) -> str:
        """What a preference calls it."""
        return self.inference_id or self.text


class Pair(Strict):
    """Two answers to one prompt."""

    prompt: Text
    answers: Annotated[list[Answer], Field(min_length=2, max_length=2)]
    inference_id: Id | None = None
    gold: Literal[0, 1, 2] | None = None
    chance: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _require_receipts(self) -> Self:
        own = [answer.inference_id is not None for answer in self.answers]
        if own != [self.inference_id is None] * 2:
            raise PydanticCustomError(
                "receipts", "want an inference_id in both answers, or one beside them and in none"
            )
        if self.answers[0].name == self.answers[1].name:
            raise PydanticCustomError("same", "want two different answers")
        return self

    def masked(self, policy: Policy) -> "Pair":
        """The same without personal data, by the placeholders that feedback on it gets."""
        mask = Masker(policy)
        mask.meet(answer.text for answer in self.answers)
        answers = [answer.model_copy(update={"text": mask(answer.text)}) for answer in self.answers]
        return self.model_copy(update={"answers": answers, "prompt": mask(self.prompt)})


class NewPair(Pair):
    """A pair as it is taken in: nobody could ever say anything of one whose ids are none."""

    @model_validator(mode="after")
    def _require_ids(self) -> Self:
        ids = (self.inference_id, *(answer.inference_id for answer in self.answers))
        try:
            for each in ids:
                if each is not None:
                    Receipt.unproved(each)
        except InvalidReceipt as error:
            raise PydanticCustomError("receipts", "want every inference_id as an answer came with it") from error
        return self


class PairFiles:
    """The pairs of a bucket; a file is read again when its content has changed.

    `tell` is told which lines of a file hold no pair, and why, as `file` and `why`.
    """

    def __init__(self, bucket: "Bucket", policy: Policy, tell: Callable[[Mapping[str, str]], None] = write_log) -> None:
        self._bucket = bucket
        self._tell = tell
        self._policy = policy
        self._offered = Offered(bucket)
        self._read: dict[tuple[str, str], list[Pair]] = {}

    def of(self, model: str) -> Iterator[Pair]:
        """All pairs of a model, file by file; a line that holds none is left out and told of."""
        for key in self._offered.keys(model):
            yield from self._pairs(key)

    def add(self, model: str, lines: bytes) -> tuple[str, int]:
        """Store pairs, less those of erased answers, so that the same change nothing; the file's key, how many."""
        pairs = (pair.masked(self._policy) for pair in parse(lines, NewPair))
        content = [pair.model_dump_json(exclude_unset=True).encode() for pair in pairs]
        parse(b"\n".join(content))  # two texts may be one without what tells them apart
        return self._offered.add(model, content)

    def _pairs(self, key: str) -> Sequence[Pair]:
        content = (key, self._bucket.facts(key).etag)
        if content not in self._read:
            while len(self._read) >= _REMEMBERED:
                del self._read[next(iter(self._read))]
            self._read[content] = [pair.masked(self._policy) for pair in self._readable(key)]
        return self._read[content]

    def _readable(self, key: str) -> list[Pair]:
        found, refused = read(self._bucket.read(key), Pair)
        more = [f"{len(found)} pairs: only the first {FILE_PAIRS} are offered"] if len(found) > FILE_PAIRS else []
        for why in [*refused[:_MOST_TOLD], *more]:
            self._tell({"level": "WARNING", "file": key, "why": why})
        return found[:FILE_PAIRS]


def parse(lines: bytes, kind: type[Pair] = Pair) -> list[Pair]:
    """The pairs in a file; InvalidRecord names the first line that is none, or says that there are none or too many."""
    found, refused = read(lines, kind)
    if refused:
        raise InvalidRecord(refused[0])
    if not 1 <= len(found) <= FILE_PAIRS:
        raise InvalidRecord(f"{len(found)} pairs: want 1 to {FILE_PAIRS} in a file")
    return found


def read(lines: bytes, kind: type[Pair]) -> tuple[list[Pair], list[str]]:
    """The pairs in a file, and why each other line is none."""
    found, refused = list[Pair](), list[str]()
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            found += [kind.model_validate_json(line)] if line.strip() else []
        except ValidationError as error:
            refused.append(f"line {number}: {explain(error.errors())}")
    return found, refused
