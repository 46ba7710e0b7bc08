"""The training's command line: a function for each command, and a job's words for each recipe."""

import argparse

import pytest

from retrain.decision import RECIPES
from training.arguments import NONE, PACKAGED, given, parser
from training.commands import COMMANDS
from training.reward_knobs import Knobs

JOB = {"model": "triage", "version": "2", "dataset": "there", "output": "here", "run": "run-1", "parent": "none"}
JOB |= {"live": "live", "knobs": NONE, "reward": NONE, "method": NONE}
"""The words of the template's job definition."""


def commands() -> set[str]:
    (made,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return set(made.choices)


def test_every_command_of_the_parser_is_carried_out_by_one() -> None:
    assert commands() == set(COMMANDS)
    assert set(PACKAGED) < set(COMMANDS)


@pytest.mark.parametrize("recipe", sorted(recipe for recipes in RECIPES.values() for recipe in recipes))
def test_every_recipe_that_is_ordered_takes_the_words_of_a_job(recipe: str) -> None:
    words = [word for name, value in JOB.items() for word in (f"--{name}", value)]

    options = parser().parse_args([recipe, *words])

    assert (options.recipe, options.run, options.live) == (recipe, "run-1", "live")


def test_a_knob_on_the_command_line_wins_over_the_recipe_s_own() -> None:
    words = [f"--{name}={value}" for name, value in JOB.items()]
    options = parser().parse_args(["reward", *words, "--batch-rows", "4"])

    assert given(options, Knobs) == Knobs(batch_rows=4)
