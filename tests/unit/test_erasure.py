"""Tombstones and quarantine over a bucket in memory: what is erased stays so, what is restored counts."""

from typing import Any, cast

import pytest

from pawl.bucket import Bucket
from pawl.errors import InvalidReceipt, NotFound
from pawl.quarantine import Entry, Quarantine
from pawl.tombstones import Tombstones, bury, erase_answer, subject_digest


class Shelf:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def write(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def read(self, key: str) -> bytes:
        return self.objects[key]

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))


@pytest.fixture
def shelf() -> Any:
    return cast("Bucket", Shelf())


def _entry(feedback_id: str, reason: str = "burst") -> Entry:
    given_at = "2026-01-01T00:00:00.000Z"
    return Entry(feedback_id, "k.uuid.m", "bot", "label", ["billing"], given_at, reason, "too many", 90.0, 60.0)


def test_an_erased_subject_is_covered_by_digest_and_their_name_is_nowhere(shelf: Any) -> None:
    digest = subject_digest("ada@example.org")
    bury(shelf, [digest], [])

    stones = Tombstones.of(shelf)
    assert stones.cover("any", "", digest)
    assert not stones.cover("any", "", subject_digest("bob"))
    assert "ada" not in "".join(shelf.objects)


def test_an_erased_answer_is_covered_by_its_uuid_whoever_it_was_about(shelf: Any) -> None:
    assert erase_answer(shelf, "k.uuid-1.triage.rest") == "uuid-1"

    stones = Tombstones.of(shelf)
    assert stones.cover("uuid-1", "anybody")
    assert not stones.cover("uuid-2", "uuid-1")


def test_a_row_of_nobody_is_covered_by_no_erasure(shelf: Any) -> None:
    bury(shelf, [subject_digest("ada")], [])
    erase_answer(shelf, "k.uuid-1.triage")

    assert not Tombstones.of(shelf).cover("", "")


def test_what_is_no_inference_id_is_refused(shelf: Any) -> None:
    with pytest.raises(InvalidReceipt, match="no inference_id: 'ada'"):
        erase_answer(shelf, "ada")
    assert shelf.objects == {}


def test_what_was_set_aside_is_listed_until_it_is_restored(shelf: Any) -> None:
    quarantine = Quarantine(shelf, "triage")
    quarantine.replace("1", [_entry("a"), _entry("b", "collusion")])
    quarantine.replace("2", [_entry("c")])

    assert quarantine.restore("b") == _entry("b", "collusion")

    assert [entry.feedback_id for entry in quarantine.entries()] == ["a", "c"]
    assert quarantine.restored() == {"b"}


def test_a_later_freeze_of_a_version_says_what_is_in_quarantine_now(shelf: Any) -> None:
    quarantine = Quarantine(shelf, "triage")
    quarantine.replace("1", [_entry("a"), _entry("b")])
    quarantine.replace("1", [])

    assert list(quarantine.entries()) == []


def test_quarantines_of_models_are_apart_even_where_one_name_begins_with_another(shelf: Any) -> None:
    Quarantine(shelf, "triage").replace("1", [_entry("a")])

    assert list(Quarantine(shelf, "tri").entries()) == []


def test_only_what_is_in_quarantine_can_be_restored(shelf: Any) -> None:
    quarantine = Quarantine(shelf, "triage")
    quarantine.replace("1", [_entry("a")])
    quarantine.restore("a")

    for unknown in ("a", "z", "../x"):
        with pytest.raises(NotFound, match="in quarantine"):
            quarantine.restore(unknown)
    assert quarantine.restored() == {"a"}
