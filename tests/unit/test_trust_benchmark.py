"""The benchmark of trust: reads the archive by position, says so when it is not there, and measures what it says."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.environments import Unavailable
from benchmarks.trust import ARCHIVE, ATTACKS, DOMAINS, PAGE, Crowd, archived, attacked, simulated, table


def _archive(folder: Path, stems: list[str]) -> None:
    """Two pages of two raters and one, as the archive writes them: a byte order mark, an id, mean, deviation, list."""
    rows = [f"{item}\t0.0\t1.0\t{[item % 4, -1] if item < PAGE else [2]}" for item in range(PAGE + 2)]
    told = ("\ufeff" + "\r\n".join(rows) + "\r\n").encode()
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for stem in stems:
            member = tarfile.TarInfo(f"somewhere/{stem}_anonDataRatings.txt")
            member.size = len(told)
            archive.addfile(member, io.BytesIO(told))


def test_a_rater_of_the_archive_is_a_position_in_a_page(tmp_path: Path) -> None:
    _archive(tmp_path, list(DOMAINS.values()))

    crowds = archived(tmp_path)

    assert list(crowds) == list(DOMAINS)
    crowd = crowds["movie"]
    assert crowd.sizes == (PAGE + 2, 3)
    assert np.bincount(crowd.raters).tolist() == [PAGE, PAGE, 2]
    assert crowd.means()[[0, 1, 2, 3, 30]].tolist() == [-0.5, 0.0, 0.5, 1.0, 2.0]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"want --data DIR, a folder with {ARCHIVE}"):
        archived(None)
    with pytest.raises(Unavailable, match=f"no {ARCHIVE} in"):
        archived(tmp_path)
    _archive(tmp_path, ["tweets"])
    with pytest.raises(Unavailable, match=r"no movieReviewSnippets_anonDataRatings\.txt"):
        archived(tmp_path)


def test_attackers_say_what_the_attack_is_called() -> None:
    crowd = Crowd(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([3.0, 1.0, -2.0, -1.0]))

    said = {name: attack(crowd, np.random.default_rng(0)).tolist() for name, attack in ATTACKS.items()}

    assert said["inverted"] == [-3, -1, 2, 1]
    assert said["colluding"] == [-4, -4, 4, 4]
    assert said["promoting"] == [4, 4, 4, 4]
    assert all(score in range(-4, 5) for score in said["random"])


def test_simulated_attacks_move_the_consensus_by_less_than_two_points_and_the_mean_by_more() -> None:
    losses = list(attacked("simulated", simulated(pages=30), seeds=1))

    assert [loss.attack for loss in losses] == list(ATTACKS)
    assert all(loss.oracle_lost <= loss.lost < 2 < 4 < loss.mean_lost for loss in losses)
    assert all(loss.accused < 0.5 for loss in losses)
    assert len(table(losses).splitlines()) == 5
