"""How much there is to learn from, counted before a dataset is frozen."""

import pytest
from tests.unit.comparisons import METRICS_DECLARED, MODEL, Conversations
from tests.unit.freezes import WINDOW, World

from pawl.identity import unix_ms
from retrain.comparisons import METRICS
from retrain.counting import Learnable, count_learnable
from retrain.selection import Selection
from retrain.thumbs import graded

LABELS = Selection("triage", "3", WINDOW)
PAIRS = Selection(MODEL, "3", WINDOW, METRICS, graded(METRICS_DECLARED, MODEL))


def test_each_answer_of_any_version_counts_once_and_thumbs_apart_from_pairs() -> None:
    world = Conversations()
    one, other = (
        world.answer("Name a bird.", text, version=version) for text, version in (("A wren.", "3"), ("A cat.", "2"))
    )
    for rater in ("ada", "bob"):
        world.thumb(one, True, rater)
        world.prefer(one, other, rater)
    world.thumb(other, 3.0, metric="stars")
    world.thumb(other, 3.0, metric="speed")
    world.say("thumbs_up", True, named=(one,))  # of an episode

    assert count_learnable(world.feedback, PAIRS, 0) == Learnable(1, 2)


@pytest.mark.parametrize("output", ["probabilities", "score"])
def test_a_correction_that_no_training_can_read_does_not_count(output: str) -> None:
    world = World()
    world.send(world.answer("one"), "correction", {"outputs": [{"name": output, "data": [0.5]}]}, rater="ada")
    world.send(world.answer("two"), "correction", {"outputs": [{"name": "label", "data": ["outage"]}]}, rater="ada")

    assert count_learnable(world.feedback, LABELS, 0) == Learnable(1, 0)
    assert world.freeze().dataset.lineage["left_out"]["unreadable"] == 1


def test_what_was_there_when_the_last_dataset_was_frozen_is_not_counted_again() -> None:
    world = World()
    world.label("outage", "one", "two")
    world.label("billing", "three")
    last_ms = unix_ms(world.feedback[-1]["given_at"])

    counts = [count_learnable(world.feedback, LABELS, since_ms).labels for since_ms in (0, last_ms, last_ms + 1)]

    assert counts == [3, 1, 0]
