"""The inference function's settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment by `pawl.settings.read_settings`."""

    receipt_keys: str
    """Secrets that sign inference ids: `id:secret[,id:secret]`, newest first."""
    capture_queue_url: str
    """The queue that captured requests and answers go to; they leave after the reply."""
    capture_dead_letter_queue_url: str = ""
    """The queue that they go to when the capture queue fails; empty for none."""
    row_limit: int = 64
    """The most rows in one request."""
