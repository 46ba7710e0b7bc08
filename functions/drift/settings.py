"""The settings of the drift functions."""

from dataclasses import dataclass

from pawl.masking import ALL_KINDS, REGIONS


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of the lake, the profiles and the models."""
    state_table: str
    """The table of the once-only ledger, and of the canary under way."""
    inference_function: str = ""
    """The function that a candidate answers copies of the traffic with; empty for none."""
    mask_personal_data: str = ALL_KINDS
    """The kinds of personal data that are masked before anything is stored, or none."""
    phone_regions: str = REGIONS
    """The countries whose phone numbers are found without their +code."""


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of the inbox, the profiles and the models."""
    state_table: str
    """The table of the registry, and of how far each file has been read."""
    inbox_queue_url: str
    """The function's own queue, for files that take longer than one invocation."""
    chunk_rows: int = 20_000
    """So many rows become profiles at once; memory grows with them. To be changed while no file is being read."""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of the profiles, the models and the reports."""
    state_table: str
    """The table of the registry."""
    feedback_table: str
    """The table that late labels are read from."""
    event_bus: str
    """The bus that `DriftDetected` and `DriftEnded` are announced on."""
    window_hours: float = 24.0
    """How much recent traffic a scheduled check looks at."""
    minimum_rows: int = 100
    """Fewer rows than this are not judged."""
    instance_hour_usd: float = 0.526
    """Price of an hour of training, for what a cure would cost: g4dn.xlarge on demand, us-east-1, 2026."""
