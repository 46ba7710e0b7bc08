from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from drift import page
from drift.policy import DEFAULT
from drift.report import Report, Scope, insufficient, learning
from drift.timeline import gather, since_when, stretch_ms
from drift.verdict import Evidence, judge
from pawl.identity import isoformat
from pawl.profile import Profile

HOUR_MS = 3_600_000
START_MS = 1_784_000_000_000 // HOUR_MS * HOUR_MS
SCOPE = Scope("triage", "3", isoformat(START_MS), isoformat(START_MS + 24 * HOUR_MS))
HOSTILE = '"><script>alert(1)</script>'


class Outline(HTMLParser):
    """Tags with their attributes, in order, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "rect", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def _rows(seed: int, rows: int, shift: float) -> dict[str, object]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(["outage", HOSTILE], rows, p=[0.7 - 0.5 * shift, 0.3 + 0.5 * shift])
    return {
        "length": generator.normal(20 + 10 * shift, 5, rows),
        "label": labels.tolist(),
        "confidence": generator.beta(9 - 6 * shift, 1, rows),
    }


def _window(moved_from: int, rows: int = 60) -> Report:
    reference = Profile.of(_rows(1, 3000, 0.0), {"confidence": (0.0, 1.0)})  # type: ignore[arg-type]
    profiles: list[Profile] = []
    for hour in range(24):
        profile = Profile.like(reference)
        began = START_MS + hour * HOUR_MS
        profile.update(_rows(hour + 2, rows, float(hour >= moved_from)), began + 1, began + 60_000)  # type: ignore[arg-type]
        profiles.append(profile)
    gathered = gather(profiles, reference, START_MS, START_MS + 24 * HOUR_MS, DEFAULT)
    evidence = Evidence(reference, gathered.recent, gathered.stretches)
    return judge(evidence, SCOPE, policy=DEFAULT, minimum_rows=100, instance_hour_usd=0.526)


@pytest.fixture(scope="module")
def drifted() -> Report:
    return _window(moved_from=15)


@pytest.fixture(scope="module")
def outline(drifted: Report) -> Outline:
    read = Outline()
    read.feed(page.render(drifted))
    return read


def test_a_window_tells_the_hour_from_which_it_moved(drifted: Report) -> None:
    assert drifted.attribution.since == isoformat(START_MS + 15 * HOUR_MS)
    assert [(moment.score or 0) >= 1 for moment in drifted.timeline][15:] == [True] * 9


def test_hours_with_a_handful_of_rows_tell_nothing() -> None:
    report = _window(moved_from=15, rows=10)

    assert (report.status, report.attribution.since) == ("drifted", "")
    assert {moment.score for moment in report.timeline} == {None}


def test_a_shift_that_went_away_again_did_not_begin() -> None:
    assert since_when(["length"], []) is None


@pytest.mark.parametrize(
    ("hours", "columns", "length"), [(24, 10, 1), (720, 10, 30), (24, 1000, 6), (1, 10, 1), (25, 10, 2)]
)
def test_a_window_has_at_most_24_stretches_and_fewer_the_more_columns(hours: int, columns: int, length: int) -> None:
    assert stretch_ms(hours * HOUR_MS, columns) == length * HOUR_MS


def test_a_batch_of_other_columns_is_left_out_and_counted() -> None:
    reference = Profile.of({"length": [1.0, 2.0] * 50})
    odd = Profile.of({"length": ["a", "b"] * 50})
    fine = Profile.like(reference)
    fine.update({"length": [1.0] * 30}, START_MS, START_MS)

    gathered = gather([fine, odd], reference, START_MS, START_MS + HOUR_MS, DEFAULT)

    assert (gathered.recent.rows, gathered.left_out) == (30, 1)


def test_the_page_begins_with_the_verdict_and_every_tag_is_closed(outline: Outline, drifted: Report) -> None:
    assert outline.open == []
    assert [tag for tag, _ in outline.tags if tag == "h1"] == ["h1"]
    assert drifted.sentence in outline.said
    assert outline.said.index(drifted.sentence) < outline.said.index("What to do: full retrain")


def test_the_page_loads_nothing_and_runs_nothing(outline: Outline) -> None:
    assert {tag for tag, _ in outline.tags} & {"script", "link", "img", "iframe", "object", "form"} == set()
    assert not [name for _, about in outline.tags for name in about if name in ("src", "href") or name.startswith("on")]
    (policy,) = [about["content"] for tag, about in outline.tags if about.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_label_is_shown_as_text_whatever_it_says(outline: Outline) -> None:
    assert HOSTILE in outline.said
    assert ("script", {}) not in outline.tags


def test_every_chart_says_what_it_shows_and_every_table_what_its_cells_are(outline: Outline) -> None:
    charts = [about for tag, about in outline.tags if tag == "svg"]
    assert len(charts) == 5  # three columns, timeline, estimate
    assert all(about["role"] == "img" and about["aria-label"] for about in charts)
    assert {about["scope"] for tag, about in outline.tags if tag == "th"} == {"col", "row"}
    tables = [tag for tag, _ in outline.tags if tag in ("table", "caption")]
    assert tables == ["table", "caption"] * 2


def test_headings_go_down_one_level_at_a_time(outline: Outline) -> None:
    levels = [int(tag[1]) for tag, _ in outline.tags if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (
            learning(12, SCOPE, 1000),
            "triage 3 came without a reference and is still learning what is normal: 12 of 1,000",
        ),
        (insufficient(5, 300, SCOPE, 100), "triage 3 had 5 rows, too few to judge: 100 are needed."),
    ],
)
def test_a_window_that_was_not_judged_has_a_page_that_says_why(report: Report, said: str) -> None:
    read = Outline()
    read.feed(page.render(report))
    assert read.open == []
    assert said in read.said
