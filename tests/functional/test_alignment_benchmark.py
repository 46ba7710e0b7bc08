"""The benchmark of alignment on a tiny base: it judges folds, and stands beside trl's own trainer."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.functional.checkpoints import save_encoder

from benchmarks import throughput
from benchmarks.alignment import Asked, measure
from benchmarks.dialogues import FILE, read
from benchmarks.pacing import ratio
from training.reward_knobs import Knobs

WORDS = ("my", "parcel", "is", "late", "and", "the", "courier", "has", "street")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty dialogues in which the better answer says please, and a tiny encoder beside them."""
    folder = tmp_path_factory.mktemp("data")
    drawn = random.Random(2)
    with gzip.open(folder / FILE, "wt", encoding="utf-8") as lines:
        for _ in range(40):
            asked = f"\n\nHuman: {' '.join(drawn.choices(WORDS, k=5))}\n\nAssistant: "
            said = " ".join(drawn.choices(WORDS, k=4))
            lines.write(json.dumps({"chosen": f"{asked}please {said}", "rejected": f"{asked}wrong {said}"}) + "\n")
    (folder / "base").mkdir()
    save_encoder(folder / "base")
    return folder


def test_every_way_to_judge_is_told_with_what_it_must_beat(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = {"rate": 3e-3, "max_tokens": 48, "batch_rows": 8, "epochs": 3.0}

    found = measure(Asked(data, parts=("reward",), folds=2, base=str(data / "base"), turned=turned))

    figures = {figure.key: figure.value for figure in found.figures}
    assert figures["reward_accuracy"] > 0.9
    assert figures["length_only_accuracy"] == 0.5
    assert figures["reward_accuracy_poisoned"] >= figures["reward_accuracy_unweighed"]
    assert {one["name"] for one in found.more["rewards"]} >= {"reward", "words", "length", "reward, poisoned, weighed"}
    assert all(one["rows"] == 40 for one in found.more["rewards"])
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert told == found.tables[0].splitlines()


def test_a_way_to_judge_is_told_before_the_next_one_begins(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "variants.json").write_text(json.dumps({"broken": {"rates": 1.0}}))
    asked = Asked(data, quick=True, parts=("reward",), base=str(data / "base"), turned={"max_tokens": 48})

    with pytest.raises(TypeError, match="rates"):
        measure(replace(asked, variants=tmp_path / "variants.json"))

    names = [line[2:30].rstrip() for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert names == ["judge", "reward", "words", "length", "reward, poisoned", "reward, poisoned, weighed"]


def test_what_is_missing_is_said_in_its_place() -> None:
    found = measure(Asked(None, parts=("reward", "tokens")))

    assert found.figures == []
    assert [FILE in table for table in found.tables] == [True, True]


def test_what_the_consensus_was_measured_on_is_told_and_that_real_ratings_are_missing() -> None:
    found = measure(Asked(None, quick=True, parts=("consensus",)))

    assert [figure.key for figure in found.figures] == ["consensus_lost_points"]
    assert [table.split()[0] for table in found.tables] == ["crowd", "missing:"]
    assert {loss["domain"] for loss in found.more["trust"]} == {"simulated"}


def test_our_reward_training_and_trl_s_take_the_same_steps_in_turn(data: Path) -> None:
    knobs = Knobs(max_tokens=48, batch_rows=4)

    found = throughput.compare_rewards(str(data / "base"), read(data), knobs, steps=4)

    ours, theirs = found["losses"]
    assert ours == theirs  # the same rows, weights and order
    assert found["steps"] == 4
    assert 0 < found["low"] <= found["ratio"] <= found["high"]
    assert found["checkpoint_share"] < 0.1


def test_our_alignment_and_trl_s_take_the_same_steps_in_turn(data: Path) -> None:
    found = throughput.compare_policies(read(data), replace(throughput.POLICY, answer_tokens=2), steps=4)

    ours, theirs = found["losses"]
    assert ours == theirs
    assert (found["steps"], found["look_steps"] > 0) == (4, True)


def test_steps_in_turn_are_told_apart_by_the_time_of_their_own_thread() -> None:
    """One is three times as slow as the other, whatever runs beside."""
    slow, fast = np.full(8, 3.0), np.full(8, 1.0)

    assert ratio(slow, fast) == (1 / 3, 1 / 3, 1 / 3)
