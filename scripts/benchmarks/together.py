"""What columns have to do with each other: how surely a check sees it change, how needlessly, and what that costs.

The change is one that no column shows: two of eight normal columns are correlated, and the correlation turns its sign.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from drift.judgement import compare
from pawl.profile import Profile

WINDOWS = 1_000
TURNED = 200
CORRELATIONS = (0.2, 0.3, 0.5, 0.8)
ROWS = (100, 300, 1000)
REFERENCE_ROWS = 5_000
_COLUMNS = 8
Values = NDArray[np.float64]


def measure(windows: int = WINDOWS, turned: int = TURNED) -> tuple[list[Figure], str]:
    """The figures, and the table of how often a turned correlation is found, by its strength and the window's rows."""
    found = {(correlation, rows): power(correlation, rows, turned) for correlation, rows in product(CORRELATIONS, ROWS)}
    joint, single = found[0.3, 300]
    meaning = "of windows of 300 rows in which 0.3 became -0.3, judged drifted"
    return [
        Figure("joint_false_alarm_rate", false_alarms(windows), "", f"of {windows:,} undrifted windows, any", 0.05),
        Figure("joint_power", joint, "", f"{meaning} by columns together", 0.8, "higher"),
        Figure("column_power", single, "", f"{meaning} by any single column"),
        Figure("joint_update_share", update_share(), "x", "profile update with joint sketches, against without", 3.0),
        Figure("joint_list_share", update_share(100, as_lists=True), "x", "the same, rows as collect has them", 2.0),
        Figure("joint_compare_ms", compare_ms(), "ms", "of a check of 1,000 columns, those of them looked at together"),
    ], _table(found)


def rows_of(generator: np.random.Generator, rows: int, correlation: float) -> dict[str, Values]:
    """Columns of which the first two are correlated; each of them is normal, whatever the correlation."""
    drawn = generator.normal(size=(_COLUMNS, rows))
    drawn[1] = correlation * drawn[0] + np.sqrt(1 - correlation**2) * drawn[1]
    return {f"c{place}": column for place, column in enumerate(drawn)}


def power(correlation: float, rows: int, windows: int = TURNED) -> tuple[float, float]:
    """Of windows in which the correlation has turned, the shares found by columns together and by single ones."""
    generator = np.random.default_rng(round(1000 * correlation) + rows)
    reference = Profile.of(rows_of(generator, REFERENCE_ROWS, correlation))
    joint = single = 0
    for _ in range(windows):
        recent = Profile.like(reference)
        recent.update(rows_of(generator, rows, -correlation))
        drifted = [column for column in compare(reference, recent) if column.has_drifted]
        joint += any(column.tie is not None for column in drifted)
        single += any(column.tie is None for column in drifted)
    return joint / windows, single / windows


def false_alarms(windows: int = WINDOWS) -> float:
    """Of windows like their reference, with an embedding beside correlated columns, the share judged drifted."""
    generator = np.random.default_rng(11)

    def draw(rows: int) -> dict[str, Values]:
        embedding = generator.standard_t(5, (8, rows))
        columns = rows_of(generator, rows, 0.6)
        columns["c2"] = np.exp(2 * columns["c2"])
        return columns | {f"projection_{place}": column for place, column in enumerate(embedding)}

    judged, reference = 0, Profile.of(draw(REFERENCE_ROWS))
    for window in range(windows):
        if window % 20 == 0:
            reference = Profile.of(draw(REFERENCE_ROWS))
        recent = Profile.like(reference)
        recent.update(draw((100, 300, 1000, 5000)[window % 4]))
        judged += any(column.has_drifted for column in compare(reference, recent))
    return judged / windows


def update_share(rows: int = 200_000, as_lists: bool = False, turns: int = 7) -> float:
    """How long an update of eight numeric columns takes with joint sketches, in updates without, by turns."""
    columns: Mapping[str, Values | list[float]] = rows_of(np.random.default_rng(12), rows, 0.5)
    reference = Profile.of(columns)
    if as_lists:
        columns = {name: np.asarray(column).tolist() for name, column in columns.items()}
    repeats = max(1, 100_000 // rows)
    took: dict[bool, list[float]] = {True: [], False: []}
    for _, is_joint in product(range(turns), took):
        profile = Profile.like(reference)
        if not is_joint:
            profile.joints.clear()
        began = time.process_time()
        for _ in range(repeats):
            profile.update(columns)
        took[is_joint].append(time.process_time() - began)
    return statistics.median(took[True]) / statistics.median(took[False])


def compare_ms(columns: int = 1_000, rows: int = 2_000) -> float:
    """What a check of so many columns takes longer, from JSON on, because of what it looks at together."""
    generator = np.random.default_rng(13)
    table = dict(zip((f"c{n}" for n in range(columns)), generator.normal(size=(columns, rows)), strict=True))
    reference = Profile.of(table)
    recent = Profile.like(reference)
    recent.update(table)
    both = [_texts(reference, recent)]
    reference.joints.clear()
    recent.joints.clear()
    both.append(_texts(reference, recent))
    took: tuple[list[float], list[float]] = ([], [])
    for _, place in product(range(5), range(2)):
        began = time.process_time()
        old, new = map(Profile.from_json, both[place])
        compare(old, new)
        took[place].append(time.process_time() - began)
    return 1000 * (min(took[0]) - min(took[1]))


def _texts(*profiles: Profile) -> Sequence[str]:
    return [profile.to_json() for profile in profiles]


def _table(found: Mapping[tuple[float, int], tuple[float, float]]) -> str:
    """Power by columns together, and by single columns after it."""
    lines = [f"  {'correlation turned':<22}" + "".join(f"{f'{rows} rows':>16}" for rows in ROWS)]
    for correlation in CORRELATIONS:
        cells = [f"{joint:.2f} / {single:.2f}" for joint, single in (found[correlation, rows] for rows in ROWS)]
        lines.append(f"  {f'{correlation} to -{correlation}':<22}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)
