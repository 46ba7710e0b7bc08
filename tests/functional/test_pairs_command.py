"""`scripts/pawl pairs`: a file of pairs, checked and put where the labelling page finds it."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from operations.__main__ import COMMANDS
from pawl.errors import InvalidRecord

PAIR = {"prompt": "Name a bird.", "answers": [{"text": "Wren."}, {"text": "Cat."}], "inference_id": "1.a", "gold": 1}


@pytest.fixture
def add(cloud: Any, tmp_path: Path) -> Any:
    """Runs the command on a file of these lines."""
    stack = SimpleNamespace(bucket=cloud.bucket, outputs={"ApiUrl": "https://example/live"})

    def run(*rows: Any) -> Any:
        path = tmp_path / "pairs.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return COMMANDS["pairs"](stack, argparse.Namespace(model="assistant", file=path))

    return run


def test_a_file_is_stored_once_however_often_it_is_added_and_the_page_is_named(add: Any, cloud: Any) -> None:
    first, second, other = add(PAIR), add(PAIR), add(PAIR, {**PAIR, "prompt": "Name another."})

    assert first == second
    assert (first["pairs"], other["pairs"]) == (1, 2)
    assert first["label"] == "https://example/live/label?model=assistant"
    assert sorted(cloud.bucket.keys("pairs/")) == sorted([first["key"], other["key"]])


def test_nothing_is_stored_of_a_file_with_a_wrong_line(add: Any, cloud: Any) -> None:
    with pytest.raises(InvalidRecord, match="line 2: want two different answers"):
        add(PAIR, {**PAIR, "answers": [{"text": "Wren."}, {"text": "Wren."}]})

    assert list(cloud.bucket.keys("pairs/")) == []
