"""Captured answers in a file: whole lines or none, however full the disk is and whoever else writes there."""

import fcntl
import json
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.server import FileSender

LINE = json.dumps({"text": "x" * 80})


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_answers_are_added_a_line_each_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "captured" / "answers.jsonl"

    assert FileSender(path)(["one", "zwölf"]) == []
    assert FileSender(path)(["three"]) == []

    assert path.read_text(encoding="utf-8") == "one\nzwölf\nthree\n"


def test_a_disk_that_fills_up_leaves_whole_lines_and_gives_the_others_back(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    send = FileSender(path)

    assert send([LINE]) == []
    with room_for(150):
        assert send([LINE, LINE]) == [LINE, LINE]
        assert path.read_text() == f"{LINE}\n"
    assert send([LINE, LINE]) == []

    assert path.read_text() == f"{LINE}\n" * 3


def test_a_file_that_cannot_be_opened_takes_nothing(tmp_path: Path) -> None:
    assert FileSender(tmp_path)([LINE]) == [LINE]


def test_servers_that_share_a_file_write_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    other = threading.Thread(target=FileSender(path), args=([LINE],))

    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        other.start()
        other.join(0.05)
        assert path.read_bytes() == b""
    other.join()

    assert path.read_text() == f"{LINE}\n"
