"""The labelling page: one file that needs nothing but the API, and a policy that lets it do nothing else.

It may be fetched without a key, for a browser cannot send one with an address: it holds no data, asks its reader for
the key, and keeps it until the tab is closed. Scripts and styles are allowed by their digests, and the browser refuses
to take any text as HTML: what a model has answered cannot become part of the page.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).with_name("label.html").read_text(encoding="utf-8")


def policy(page: str) -> str:
    """The Content-Security-Policy that allows a page its own scripts and styles, and requests to where it is from."""
    scripts, styles = (_digests(page, tag) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digests(page: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in found)


HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": policy(PAGE),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
