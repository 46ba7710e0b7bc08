"""What may be turned of a search for knobs; a module of its own, since the command line reads it without optuna."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """How long is looked."""

    trials: int = 24
    """Knobs that are tried at most, those of `transfer` among them."""
    minutes: float = 45.0
    """After so long no trial begins; the last one and the training that follows are not cut short."""
    divisions: int = 3
    """Ways to divide the training rows, each trained on and validated once a trial."""
    random_trials: int = 6
    """Trials before the estimators take over; the first is no other than `transfer`'s own."""
