"""The inference function's settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment by `pawl.settings.read_settings`."""

    receipt_keys: str
    """Secrets that sign inference ids: `id:secret[,id:secret]`, newest first."""
    capture_queue_url: str
    """The queue that captured requests and answers go to; they leave after the reply."""
    trusted_keys: str
    """Public keys that models may be signed with: SubjectPublicKeyInfo in base64, joined by commas."""
    capture_dead_letter_queue_url: str = ""
    """The queue that they go to when the capture queue fails; empty for none."""
    allow_unsigned: bool = False
    """Whether a model without a signature is served; one with a signature must be by a trusted key in any case."""
    row_limit: int = 64
    """The most rows in one request."""
