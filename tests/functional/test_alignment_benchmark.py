"""The benchmark of alignment on a tiny base: it judges folds, and stands beside trl's own trainer."""

import gzip
import json
import random
from pathlib import Path

import pytest
from tests.functional.checkpoints import save_encoder

from benchmarks import throughput
from benchmarks.alignment import Asked, measure
from benchmarks.dialogues import FILE, read
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


def test_every_way_to_judge_is_told_with_what_it_must_beat(data: Path) -> None:
    turned = {"rate": 3e-3, "max_tokens": 48, "batch_rows": 8, "epochs": 3.0}

    found = measure(Asked(data, parts=("reward",), folds=2, base=str(data / "base"), turned=turned))

    figures = {figure.key: figure.value for figure in found.figures}
    assert figures["reward_accuracy"] > 0.9
    assert figures["length_only_accuracy"] == 0.5
    assert figures["reward_accuracy_poisoned"] >= figures["reward_accuracy_unweighed"]
    assert {one["name"] for one in found.more["rewards"]} >= {"reward", "words", "length", "reward, poisoned, weighed"}
    assert all(one["rows"] == 40 for one in found.more["rewards"])


def test_what_is_missing_is_said_in_its_place() -> None:
    found = measure(Asked(None, parts=("reward", "tokens")))

    assert found.figures == []
    assert [FILE in table for table in found.tables] == [True, True]


def test_our_loop_and_trl_s_take_the_same_rows_in_turns(data: Path) -> None:
    knobs = Knobs(max_tokens=48, batch_rows=4)

    found = throughput.compare(str(data / "base"), read(data), knobs, steps=3, turns=2)

    assert [len(turns) for turns in found["turns"].values()] == [2, 2]
    assert found["trl_tokens_ratio"] > 0
    assert found["checkpoint_share"] < 0.1
