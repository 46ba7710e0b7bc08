"""The model card's page: complete, self-contained, and safe whatever names the data hold."""

from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.cards import HOSTILE, gates, manifest

from release.card import card_key, render


class Seen(HTMLParser):
    """What a page is made of: its elements, headings and text; every element is closed in its turn."""

    VOID = ("meta", "line", "circle", "rect", "path")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "line", "rect") and not self.get_starttag_text().endswith("/>"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_tells_everything_that_is_known_of_a_version() -> None:
    text = Seen(render(manifest(), gates())).text

    for title in (
        "Intended use Gates Quality Fairness Robustness Compression Security Lineage Energy and cost".replace(
            "Intended use", "Intended-use"
        )
        .replace("Energy and cost", "Energy-and-cost")
        .split()
    ):
        assert title.replace("-", " ") in text
    assert "Model card: triage 2" in text
    assert "5 of 5 gates passed" in text
    assert "holdout, channel voice" in text
    assert "Of 40 inputs 78% had a right answer that an attacker could turn" in text
    assert "int8 (served)" in text
    assert "The run took 412 s on Tesla T4. At 70 W, assumed and not metered" in text


def test_a_refused_version_says_by_which_gate() -> None:
    text = Seen(render(manifest(), gates(refused=True))).text

    assert "4 of 5 gates passed; refused by holdout" in text
    assert "FAILED" in text


def test_a_hostile_name_is_only_text() -> None:
    page = render(manifest(name=HOSTILE), gates())
    seen = Seen(page)

    assert HOSTILE not in page
    assert HOSTILE in seen.text
    assert "img" not in seen.elements


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    seen = Seen(render(manifest(), gates()))

    assert not {"script", "img", "link", "iframe", "object", "form"} & set(seen.elements)
    assert not {name for name, _ in seen.attributes} & {"src", "href", "onclick", "onload"}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes


@pytest.mark.parametrize("kind", ["text-generator", "tensors"])
def test_of_a_version_with_other_metrics_it_tells_what_it_can(kind: str) -> None:
    bare: dict[str, Any] = {**manifest(kind=kind, labels=[], metrics={"perplexity": 39.8})}

    text = Seen(render(bare, [gates()[0]])).text

    assert f"A model of the kind {kind}" in text
    assert "Lineage" in text
    for title in ("Quality", "Fairness", "Robustness", "Compression", "Energy"):
        assert title not in text


def test_every_chart_has_a_name() -> None:
    page = render(manifest(), gates())

    assert page.count("<svg") == page.count('role="img" aria-label="') > 6


def test_cards_lie_beside_the_bundles_and_not_among_their_files() -> None:
    assert card_key("triage", "2") == "cards/triage/2.html"
