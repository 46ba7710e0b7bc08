"""The release function's settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment by `pawl.settings.read_settings`."""

    bucket: str
    """The bucket of candidates, datasets, models and layer archives."""
    state_table: str
    """The table of the registry."""
    feedback_table: str
    """The table of feedback, which canaries go by."""
    event_bus: str
    """The bus that releases, canaries, refusals and rollbacks are announced on."""
    inference_function: str
    """The function that serves the models, by name."""
    models_layer: str
    """The name under which layers of models are published."""
    live_layer_parameter: str
    """The SSM parameter that holds the live layer's ARN, or `starter` for the template's own."""
    trusted_keys_parameter: str
    """The SSM parameter that holds the public keys that models may be signed with."""
    signing_key: str
    """The KMS key that signs what is released, by ARN."""
