"""What may be turned in the recipe `reward`; apart from it, so that a command line knows them without importing trl."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned; the defaults are for the packaged MiniLM, measured by `scripts/bench alignment`."""

    seed: int = 7
    """Of every shuffle and initial weight; there is no dropout."""
    max_tokens: int = 256
    """Longer dialogues lose their beginning; also what the served model does."""
    dimensions: int = 8
    """Main directions of the pooled states that the drift profile watches."""
    validation_share: float = 0.1
    """Of the training prompts: never trained on, their pairs set the temperature."""
    epochs: float = 2.0
    """Passes over the training pairs."""
    batch_rows: int = 16
    """Pairs a step, over all processes."""
    rate: float = 5e-5
    """Highest learning rate of an encoder's layers."""
    tuned_layers: int = 6
    """Encoder layers that learn, counted from the last; word embeddings never do."""
    lora_rate: float = 2e-4
    """Highest learning rate of a decoder's adapters and of its score."""
    lora_rank: int = 16
    """Rank of those adapters, one for every matrix of every layer."""
    warmup_share: float = 0.1
    """Of all steps, during which the rate rises from nothing; then it falls in a line to nothing."""
    weight_decay: float = 0.01
    """Pull of the learning weights towards zero."""
    length_penalty: float = 0.0
    """Weight of the squared correlation of rewards with lengths in the loss."""
    seconds_tokens: int = 128
    """Tokens of the row whose latency is measured."""
    precision: str = "auto"
    """Of the multiplications: auto, bf16, fp16 or fp32, by `training.halves`."""
    checkpoint_seconds: float = 120.0
    """At most so much training is lost with its machine, and the time of ten steps."""
    checkpoint_steps: int = 10
    """Steps between two looks at the clock."""
