"""The search for knobs, on a loss that is known: no network is trained here."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from training.automl import Kept, Trial, best_of, defaults, look, told
from training.progress import RunReport
from training.search_knobs import Search
from training.storage import Folder
from training.transfer import Knobs

SEARCH = Search(trials=14, minutes=60, divisions=3, random_trials=5)


def loss_of(knobs: Knobs, division: int) -> float:
    """Least at five layers and weight 1; divisions differ a little."""
    return 0.5 + 0.1 * (knobs.tuned_layers - 5) ** 2 + (knobs.recent_weight - 1) ** 2 + 0.01 * division


def look_in(
    folder: Path, measure: Callable[[Knobs, int], float] = loss_of, search: Search = SEARCH, identity: str = "a"
) -> list[Trial]:
    ticks = itertools.count()
    report = RunReport(Folder(folder / "report"), "run", lambda: float(next(ticks)))
    return look(search, measure, Kept(Folder(folder), identity), report, lambda: float(next(ticks)))


def test_the_usual_knobs_are_tried_first_and_better_ones_are_found(tmp_path: Path) -> None:
    trials = look_in(tmp_path)

    assert len(trials) == SEARCH.trials
    assert trials[0].knobs == defaults()
    best = best_of(trials)
    assert best.loss < trials[0].loss / 2
    assert best.knobs["tuned_layers"] in (4, 5, 6)
    assert told(best, trials).startswith(f"Validation loss {best.loss:.4f} instead of {trials[0].loss:.4f} after 14")


def test_hopeless_trials_are_given_up_early_and_never_chosen(tmp_path: Path) -> None:
    trials = look_in(tmp_path)

    given_up = [trial for trial in trials if trial.is_given_up]
    assert given_up
    assert all(len(trial.losses) < SEARCH.divisions for trial in given_up)
    assert all(trial.loss > best_of(trials).loss for trial in given_up)


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = look_in(tmp_path / "whole")
    calls = itertools.count(1)

    def measure_until_killed(knobs: Knobs, division: int) -> float:
        if next(calls) > 20:
            raise InterruptedError("spot")
        return loss_of(knobs, division)

    with pytest.raises(InterruptedError):
        look_in(tmp_path / "parts", measure_until_killed)
    resumed = look_in(tmp_path / "parts")

    assert [(trial.knobs, trial.losses) for trial in resumed] == [(trial.knobs, trial.losses) for trial in whole]


def test_trials_of_another_search_are_not_taken_for_this_one(tmp_path: Path) -> None:
    look_in(tmp_path, identity="other data")
    calls: list[int] = []

    def measure(knobs: Knobs, division: int) -> float:
        calls.append(division)
        return loss_of(knobs, division)

    look_in(tmp_path, measure, Search(trials=1, divisions=2))

    assert calls == [0, 1]


def test_no_trial_begins_when_time_is_up(tmp_path: Path) -> None:
    trials = look_in(tmp_path, search=Search(trials=14, minutes=0.1, divisions=1))

    assert 1 <= len(trials) < 6


def test_a_search_that_finds_nothing_better_says_so() -> None:
    usual = Trial(defaults(), [0.5, 0.7], False, 1.0)
    other = Trial({**defaults(), "epochs": 8}, [0.9, 0.7], False, 1.0)

    assert told(best_of([usual, other]), [usual, other]) == (
        "None of 2 trials was better than the usual knobs (validation loss 0.6000)."
    )
