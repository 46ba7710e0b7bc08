"""What may be turned in the recipe `align`; apart from it, so that the command line knows them without trl."""

from dataclasses import dataclass

METHODS = ("dpo", "kto", "grpo", "rloo")
BY_REWARD = ("grpo", "rloo")


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned."""

    method: str = "dpo"
    """One of dpo, kto, grpo and rloo; the last two need a reward model."""
    seed: int = 1
    """Of the order of rows, of the adapter's first values and of what is sampled."""
    beta: float = 0.1
    """How much a nat away from the reference costs, in units of the reward."""
    rate: float = 1e-4
    """Highest learning rate; up in a line over a tenth of the steps, then down in a line."""
    epochs: int = 1
    """Passes over the comparisons, or over the prompts."""
    steps: int = 0
    """Steps instead of epochs; 0: as many as the epochs take."""
    batch_rows: int = 8
    """Comparisons, thumbs or sampled answers a step and process."""
    generations: int = 8
    """Answers to one prompt that are compared with each other (grpo, rloo); divides a step's answers."""
    rank: int = 16
    """Rank of the adapter."""
    max_tokens: int = 512
    """Prompt and answer are cut at so many together."""
    answer_tokens: int = 128
    """Most tokens of an answer that is sampled."""
    gold_share: float = 0.1
    """Share of the prompts trained on that is held back to notice over-optimization."""
    looks: int = 8
    """How often gold, reward and divergence are looked at on the way."""
    look_prompts: int = 32
    """Held-back prompts that are answered at each look."""
    patience: int = 2
    """Looks in a row with a higher reward and less gold that end the run."""
    most_kl: float = 25.0
    """Nats an answer beyond which no state is kept."""
    judged_prompts: int = 64
    """Held-out prompts that the live bundle and the candidate answer, both as they are served."""
    judged_pairs: int = 32
    """Held-out pairs whose likelihoods both are asked for, as served; they take a token at a time."""
    temperature: float = 0.7
    """At which both answer them."""
    precision: str = "auto"
    """Of the multiplications: auto, bf16, fp16 or fp32, by `training.halves`."""
    checkpoint_seconds: float = 120.0
    """Seconds between two checkpoints, for the machine may be taken away."""
    checkpoint_steps: int = 10
    """Steps between two looks at the clock for that."""
