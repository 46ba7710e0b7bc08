"""The model card in a real browser: readable on a phone and in the dark, without serious faults."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.functional.browser import Tab
from tests.unit.cards import gates, manifest

from release.card import render

SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


@pytest.fixture
def tab(chromium: Any) -> Tab:
    return Tab(chromium)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("card") / "card.html"
    path.write_text(render(manifest(), gates(refused=True)), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nobody_is_kept_from_reading_it(tab: Tab, address: str, size: str, scheme: str) -> None:
    tab.open(address, *SIZES[size], scheme=scheme)

    assert tab.faults() == []
    assert tab.see("document.documentElement.scrollWidth <= innerWidth")


def test_a_screen_reader_hears_verdict_tables_and_what_each_chart_shows(tab: Tab, address: str) -> None:
    tab.open(address)

    heard = tab.heard()

    headings = [name for role, name in heard if role == "heading"]
    assert headings[:3] == ["Model card: triage 2", "Intended use", "Gates"]
    pictures = [name for role, name in heard if role in ("image", "img")]
    assert "Quality by size of what was tried" in pictures
    assert "92.0%, between 86.5% and 95.4%" in pictures


def test_wide_tables_scroll_by_themselves_and_are_reached_by_key(tab: Tab, address: str) -> None:
    tab.open(address, *SIZES["phone"])

    tab.press("Tab")

    assert tab.see("document.activeElement.getAttribute('aria-label')") == (
        "What was asked of it, against the version that was live"
    )
    widths = tab.see("[...document.querySelectorAll('.wide')].map(each => each.clientWidth)")
    assert json.dumps(widths) and max(widths) <= SIZES["phone"][0]
