"""The retrain function's settings."""

from dataclasses import dataclass

from pawl.masking import ALL_KINDS, REGIONS


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of traffic, datasets, candidates and models."""
    state_table: str
    """The table of the registry and the once-only ledger."""
    feedback_table: str
    """The table that feedback is kept in."""
    event_bus: str
    """The bus that this function announces on."""
    job_queue: str
    """The Batch job queue, by ARN."""
    job_definition: str
    """The Batch job definition, by ARN."""
    nodes: int = 1
    """Instances that a training of preferences shares."""
    nodes_job_queue: str = ""
    """The Batch job queue of those, by ARN; empty where there are none."""
    nodes_job_definition: str = ""
    """The Batch job definition of those, by ARN; empty where there are none."""
    metrics: str = ""
    """Metrics of this deployment, as `pawl.metrics` has them; empty for thumbs_up and rating alone."""
    mask_personal_data: str = ALL_KINDS
    """The kinds of personal data that feedback has masked before it is stored, or none."""
    phone_regions: str = REGIONS
    """The countries whose phone numbers are found without their +code."""
    minimum_labels: int = 50
    """Fewer labelled answers, pairs or thumbs than this since the last training are not worth a run."""
    cooldown_hours: float = 6.0
    """No run begins sooner than this after the last one ended, unless a person asks."""
    window_days: float = 30.0
    """How far back labelled traffic is gathered."""
    instance_hour_usd: float = 0.526
    """Price of an hour of training, for cost estimates: g4dn.xlarge on demand, us-east-1, 2026; spot costs less."""
