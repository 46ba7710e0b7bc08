"""Where a training run reads and writes, and what it says of itself there."""

import json
from pathlib import Path

import pytest

from pawl.errors import NotFound
from training.progress import RunReport
from training.storage import Folder, checkpoint_address, copy_folder, place_at


def no_client() -> None:
    raise AssertionError("a local folder needs no S3 client")


def test_a_folder_gives_back_what_was_written(tmp_path: Path) -> None:
    place = place_at(str(tmp_path / "new" / "folder"), no_client)  # type: ignore[arg-type]

    place.write("b.json", b"{}")
    place.write("a.bin", b"\x00\x01")
    place.write("b.json", b"[]")

    assert place.read_all() == {"a.bin": b"\x00\x01", "b.json": b"[]"}


def test_an_empty_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no files in the folder 'nothing'"):
        Folder(tmp_path / "nothing").read_all()


def test_copying_leaves_out_the_file_that_is_to_follow(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("manifest.json", "model.onnx", "card.md"):
        (source / name).write_text(name)

    copy_folder(source, Folder(tmp_path / "target"), but="manifest.json")

    assert set(Folder(tmp_path / "target").read_all()) == {"model.onnx", "card.md"}


def test_a_run_tells_how_far_it_is_and_how_it_ended(tmp_path: Path) -> None:
    clock = iter(range(100))
    report = RunReport(Folder(tmp_path), "run-1", lambda: float(next(clock)))

    def told() -> dict[str, object]:
        return json.loads((tmp_path / "run.json").read_text())

    assert (told()["status"], told()["progress"]) == ("running", 0.0)
    report.begin("layers", 0.15)
    report.epoch(1, 0.45, loss=0.5, validation_loss=0.25)
    assert (told()["stage"], told()["progress"]) == ("layers", 0.45)
    assert told()["losses"] == [{"stage": "layers", "epoch": 1, "loss": 0.5, "validation_loss": 0.25}]
    report.complete([{"split": "holdout", "accuracy": 0.9}])
    assert (told()["status"], told()["progress"]) == ("completed", 1.0)
    assert told()["evaluations"] == [{"split": "holdout", "accuracy": 0.9}]
    report.fail("OSError: the manifest could not be stored")
    assert (told()["status"], told()["error"]) == ("failed", "OSError: the manifest could not be stored")


def test_one_file_is_read_by_its_name(tmp_path: Path) -> None:
    Folder(tmp_path).write("a.bin", b"\x00")

    assert Folder(tmp_path).read("a.bin") == b"\x00"
    with pytest.raises(NotFound, match=r"no file 'b\.bin'"):
        Folder(tmp_path).read("b.bin")


def test_a_checkpoint_is_never_among_the_files_of_an_output() -> None:
    assert checkpoint_address("s3://loop/candidates/tiny/2/") == "s3://loop/checkpoints/candidates/tiny/2/"
    assert checkpoint_address("out/tiny/2") == checkpoint_address("out/tiny/2/") == "out/tiny/2.checkpoint"
