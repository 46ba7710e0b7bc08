"""The labelling page as it is sent: nothing in it reaches out, and its policy allows what it has and no more."""

import base64
import hashlib
import re

from feedback.page import HEADERS, PAGE


def directives() -> dict[str, list[str]]:
    parts = [each.split() for each in HEADERS["Content-Security-Policy"].split(";")]
    return {name: values for name, *values in parts}


def test_the_policy_allows_the_pages_own_script_and_style_by_digest_and_nothing_inline_or_from_elsewhere() -> None:
    allowed = directives()
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == [f"'sha256-{digest}'"]
    assert (allowed["default-src"], allowed["connect-src"]) == (["'none'"], ["'self'"])
    assert (allowed["frame-ancestors"], allowed["base-uri"], allowed["form-action"]) == (["'none'"],) * 3
    assert allowed["require-trusted-types-for"] == ["'script'"]


def test_the_page_names_no_other_place_and_writes_no_html() -> None:
    assert re.findall(r"https?:|//[a-z]|\bsrc=|\bhref=|@import|url\(", PAGE) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\bon[a-z]+=", PAGE) == []
    assert "localStorage" not in PAGE
