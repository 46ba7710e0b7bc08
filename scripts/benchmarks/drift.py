"""The drift check: speed and memory of profiles and checks, false alarms, and how surely detectors find a change."""

from dataclasses import asdict
from pathlib import Path

from benchmarks import capture, delay, detection, nannyml, profiles, scaling, together
from benchmarks.environments import Unavailable
from benchmarks.figures import Figure, Findings


def measure(home: Path, quick: bool, collected: int | None = None) -> Findings:
    """All of it, with so many rows collected; quick leaves out what takes minutes and other libraries.

    That is Evidently, the detectors' table and how soon a shift is found. Where NannyML no longer says what the tests
    compare with, it fails.
    """
    missing = list[str]() if quick else _missing_record(home)
    jointly, turned = together.measure()
    alarmed, chanced = detection.false_alarm_rate()
    figures = [
        *profiles.measure(),
        *capture.measure(collected or (capture.ROWS if quick else 10 * capture.ROWS)),
        Figure("false_alarm_rate", alarmed, "", "of 1,000 undrifted windows, judged drifted", 0.05),
        Figure("false_p_value_rate", chanced, "", "of the same, by the p-value alone", 0.05),
        *jointly,
    ]
    if quick:
        return Findings(figures, [turned])
    grown = scaling.measure(home)
    found, unavailable = detection.detection(home)
    return Findings(
        [*figures, *delay.measure(), *grown.figures],
        [turned, *grown.tables, detection.table(found, missing + unavailable), detection.summary(found)],
        {**grown.more, "detection": [asdict(each) for each in found]},
    )


def _missing_record(home: Path) -> list[str]:
    try:
        nannyml.require_recorded(home)
    except Unavailable as error:
        return [f"the tests' values of NannyML are not checked: {error}"]
    return []
