"""The settings of the feedback functions."""

from dataclasses import dataclass

from pawl.masking import ALL_KINDS, REGIONS


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment by `pawl.settings.read_settings`."""

    receipt_keys: str
    """Secrets that verify inference ids, the same as the inference function's."""
    feedback_table: str
    """The DynamoDB table that feedback is kept in."""
    bucket: str
    """The bucket of the pairs to label."""
    receipt_max_age_days: float = 90.0
    """How long after an answer its feedback is accepted."""
    metrics: str = ""
    """Metrics of this deployment, as `pawl.metrics` has them; empty for thumbs_up and rating alone."""
    mask_personal_data: str = ALL_KINDS
    """The kinds of personal data that are masked before anything is stored, or none."""
    phone_regions: str = REGIONS
    """The countries whose phone numbers are found without their +code."""


@dataclass(frozen=True, slots=True)
class ReadySettings:
    """Read from the environment by `pawl.settings.read_settings`."""

    feedback_table: str
    """The table whose counters are watched."""
    event_bus: str
    """The bus that `FeedbackReady` is announced on."""
    ready_feedback: int = 500
    """At each multiple of so many pieces on a model version, a training is considered."""


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of the inbox."""
    state_table: str
    """The table of how far each file has been read."""
    feedback_table: str
    """The table that feedback is kept in."""
    inbox_queue_url: str
    """The function's own queue, for files that take longer than one invocation."""
    capture_queue_url: str
    """Where answers that devices gave go the way of all captured traffic."""
    receipt_keys: str
    """Secrets that verify inference ids, the same as the inference function's."""
    receipt_max_age_days: float = 90.0
    """How long after an answer its feedback is accepted."""
    metrics: str = ""
    """Metrics of this deployment, as `pawl.metrics` has them."""
    mask_personal_data: str = ALL_KINDS
    """The kinds of personal data that are masked before anything is stored, or none."""
    phone_regions: str = REGIONS
    """The countries whose phone numbers are found without their +code."""
    chunk_rows: int = 2_000
    """After so many rows the place is written down. To be changed while no file is being read."""
