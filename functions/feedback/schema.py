"""Feedback on the wire: TensorZero's `POST /feedback`, extended; unknown fields refused, with those that are known."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictFloat, StrictInt, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from pawl.narrowing import is_object

TEXT_LIMIT = 16_384
SMALLEST, LARGEST = 1e-9, 1e9
"""What a number that people give may be in size, unless it is 0: what DynamoDB can hold has an end, on both sides."""
DIMENSIONS = 8
"""A tensor has at most so many: DynamoDB holds lists within lists 32 deep."""
Tag = Annotated[str, Field(max_length=128)]
Id = Annotated[StrictStr, Field(max_length=256)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=TEXT_LIMIT)]
"""With a limit, pydantic also refuses half a surrogate pair, which no database takes."""


class Strict(BaseModel):
    """A model that refuses what it does not know, and says what it does."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _require_known(cls, given: Any) -> Any:
        unknown = sorted(set(given) - set(cls.model_fields)) if is_object(given) else []
        if unknown:
            named = {"unknown": ", ".join(map(repr, unknown)), "known": ", ".join(cls.model_fields)}
            raise PydanticCustomError("unknown", "no field {unknown}: want some of {known}", named)
        return given


class Feedback(Strict):
    """One piece of feedback; `tags.rater` names who gives it, else the API key does.

    On one answer by `inference_id`, or on an episode by `episode_id`, which is the inference_id of its first answer.
    """

    metric_name: Annotated[StrictStr, Field(max_length=64)]
    value: JsonValue
    inference_id: Id | None = None
    episode_id: Id | None = None
    tags: dict[Annotated[Tag, Field(min_length=1)], Tag] = Field(default_factory=dict, max_length=32)
    dryrun: bool = False


class Preference(Strict):
    """One answer is better than the other, by so much where a margin is given."""

    chosen: Text
    rejected: Text
    margin: Annotated[StrictFloat | StrictInt, Field(ge=SMALLEST, le=LARGEST)] | None = None


class Tie(Strict):
    """Two answers are as good as each other."""

    tie: Annotated[list[Text], Field(min_length=2, max_length=2)]


class Rank(Strict):
    """An answer's place among others, 1 the best; equal ranks are ties."""

    value: Text
    rank: Annotated[StrictInt, Field(ge=1, le=1000)]


class Output(Strict):
    """A tensor as the Open Inference Protocol answers it: what the model should have put out."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=128)]
    datatype: Annotated[StrictStr, Field(max_length=8)] | None = None
    shape: Annotated[list[Annotated[StrictInt, Field(ge=0, le=LARGEST)]], Field(max_length=DIMENSIONS)] | None = None
    data: Annotated[list[JsonValue], Field(min_length=1)]


class Correction(Strict):
    """All that the model should have put out, or those outputs of it that were wrong."""

    outputs: Annotated[list[Output], Field(min_length=1, max_length=64)]


class Bulk(Strict):
    """1 to 100 pieces of feedback; each is accepted or refused by itself."""

    items: Annotated[list[object], Field(min_length=1, max_length=100)]


class Accepted(BaseModel):
    """The answer to accepted feedback; the same feedback sent again gets the same id."""

    feedback_id: str


class Refused(BaseModel):
    """The answer to one refused item of a bulk."""

    error: str
