"""A drift report in a real browser: on a phone, in the light and in the dark, with no network."""

import json
import shutil
import struct
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from drift import page
from drift.policy import DEFAULT
from drift.report import Scope
from drift.timeline import gather
from drift.verdict import Evidence, judge
from pawl.expectation import ExpectedError
from pawl.identity import isoformat
from pawl.profile import Profile

HOUR_MS = 3_600_000
START_MS = 1_784_000_000_000 // HOUR_MS * HOUR_MS
PHONE = 320
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Appended to a copy of the page, whose own policy forbids scripts: what a reader's eye would measure.
PROBE = """<script>
const bar = document.querySelector("rect.new"), body = getComputedStyle(document.body);
parent.postMessage(JSON.stringify({
  wide: document.documentElement.scrollWidth, window: innerWidth,
  paper: body.backgroundColor, ink: body.color, bar: getComputedStyle(bar).fill,
  small: [...document.querySelectorAll("p,li,td,th,h1,h2,h3,figcaption")].filter(
    each => parseFloat(getComputedStyle(each).fontSize) < 14).length,
  shown: [...document.querySelectorAll("svg")].every(each => each.getBoundingClientRect().height > 20),
}), "*");
</script>"""
# A browser's window is never as narrow as a phone; a frame in it is.
FRAME = """<!doctype html><script>onmessage = told => document.body.replaceChildren(told.data);</script>
<body><iframe src="{name}" style="border:0;width:{width}px;height:2600px"></iframe></body>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = [name for name in NAMES if shutil.which(name)]
    assert found, "no Chromium: install the package chromium (apt-get install -y chromium)"
    return found[0]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a drift that began in the fifteenth hour of a day, of columns together too, and with an error."""
    rows = _rows(1, 2000, 0.0)
    reference = Profile.of(rows, {"confidence": (0.0, 1.0)})  # type: ignore[arg-type]
    asked = {"length": list(rows["length"])}  # type: ignore[call-overload]
    expected = ExpectedError.learn(asked, rows["length"], np.zeros(2000))  # type: ignore[arg-type]
    profiles: list[Profile] = []
    for hour in range(24):
        profile = Profile.like(reference)
        began = START_MS + hour * HOUR_MS
        profile.update(_rows(hour + 2, 60, float(hour >= 15)), began, began)  # type: ignore[arg-type]
        profiles.append(profile)
    until_ms = START_MS + 24 * HOUR_MS
    gathered = gather(profiles, reference, START_MS, until_ms, DEFAULT)
    scope = Scope("triage", "3", isoformat(START_MS), isoformat(until_ms))
    evidence = Evidence(reference, gathered.recent, gathered.stretches, expected=expected)
    path = tmp_path_factory.mktemp("report") / "report.html"
    judged = judge(evidence, scope, policy=DEFAULT, minimum_rows=100)
    assert {"columns together", "length"} <= set(judged.drifted) and judged.error is not None
    path.write_text(page.render(judged), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_the_light_and_in_the_dark(browser: str, report: Path, scheme: str) -> None:
    seen = _measure(browser, report, scheme)

    assert (seen["wide"], seen["window"]) == (PHONE, PHONE)
    assert (seen["small"], seen["shown"]) == (0, True)
    assert _contrast(seen["ink"], seen["paper"]) >= 7
    assert _contrast(seen["bar"], seen["paper"]) >= 3
    assert (_brightness(seen["paper"]) < 0.1) == (scheme == "dark")


def test_the_page_can_be_drawn_with_its_policy_in_force(browser: str, report: Path, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    _run(browser, report, f"--screenshot={picture}", f"--window-size={PHONE},2600", "--hide-scrollbars")

    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24]) == (PHONE, 2600)
    assert len(content) > 20_000  # an empty page of this size has less than 10,000


def _measure(browser: str, report: Path, scheme: str) -> dict[str, object]:
    copy = report.with_name(f"probed-{scheme}.html")
    text = report.read_text(encoding="utf-8").replace("default-src 'none'", "script-src 'unsafe-inline'")
    copy.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    frame = report.with_name(f"framed-{scheme}.html")
    frame.write_text(FRAME.format(name=copy.name, width=PHONE), encoding="utf-8")
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    told = _run(browser, frame, "--dump-dom", "--virtual-time-budget=2000", "--hide-scrollbars", setting)
    body = told[told.index("<body>") :]
    return json.loads(unescape(body[body.index("{") : body.rindex("}") + 1]))


def _run(browser: str, file: Path, *options: str) -> str:
    offline = ("--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND")
    profile = f"--user-data-dir={file.parent / 'browser'}"
    command = [browser, *offline, profile, *options, file.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def _rows(seed: int, rows: int, shift: float) -> dict[str, object]:
    generator = np.random.default_rng(seed)
    length = generator.normal(0, 1, rows)
    names = ["outage", "billing", "a_label_with_a_name_so_long_that_it_would_not_fit_on_any_phone"]
    return {
        "length": 20 + 10 * shift + 5 * length,
        "a_column_with_a_name_so_long_that_it_would_not_fit": shift + (1 - 2 * shift) * length,
        "label": generator.choice(names, rows, p=[0.7 - 0.5 * shift, 0.2, 0.1 + 0.5 * shift]).tolist(),
        "confidence": generator.beta(9 - 6 * shift, 1, rows),
    }


def _channels(colour: object) -> list[float]:
    return [int(part) / 255 for part in str(colour).partition("(")[2].rstrip(")").split(",")[:3]]


def _brightness(colour: object) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: object, other: object) -> float:
    darker, brighter = sorted((_brightness(one), _brightness(other)))
    return (brighter + 0.05) / (darker + 0.05)
