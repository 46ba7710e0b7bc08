"""Feedback on the wire: TensorZero's `POST /feedback`, unknown fields refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Tag = Annotated[str, Field(max_length=128)]
Text = Annotated[StrictStr, Field(max_length=4000)]
"""With a limit, pydantic also refuses half a surrogate pair, which no database takes."""


class Feedback(BaseModel):
    """One piece of feedback on one answer; `tags.rater` names who gives it, else the API key does."""

    model_config = ConfigDict(extra="forbid")

    metric_name: str
    value: StrictBool | StrictFloat | StrictInt | Text | list[Text]
    inference_id: str
    tags: dict[Tag, Tag] = Field(default_factory=dict, max_length=32)
    dryrun: bool = False


class Bulk(BaseModel):
    """1 to 100 pieces of feedback; each is accepted or refused by itself."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[object], Field(min_length=1, max_length=100)]


class Accepted(BaseModel):
    """The answer to accepted feedback; the same feedback sent again gets the same id."""

    feedback_id: str


class Refused(BaseModel):
    """The answer to one refused item of a bulk."""

    error: str
