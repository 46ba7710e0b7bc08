"""A headless Chromium, driven over its DevTools protocol: a page is asked what a person would see, press and hear.

No driver is downloaded: the browser speaks JSON over one WebSocket (https://chromedevtools.github.io/devtools-protocol/).
"""

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0")
PATIENCE_S = 20.0
_KILLED_S = 2.0
"""Where nobody buries the dead, they are not waited for any longer."""
_TOLD = "DevTools listening on "
_AXE = str(distribution("axe-playwright-python").locate_file("axe_playwright_python/axe.min.js"))


class Tab:
    """One page of the browser, which shares no storage with another."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Carry out a command of the protocol; what it answers."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while (told := json.loads(self._connection.recv(timeout=PATIENCE_S))).get("id") != number:
            pass
        assert "error" not in told, f"{method}: {told['error']}"
        return told["result"]

    def open(self, address: str, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """Open an address on a screen of this size, in the light or in the dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def see(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        told = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE_S
        while not self.see(expression):
            assert time.monotonic() < until, f"never true: {expression}\n{self.see('document.body.innerText')}"
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys one after the other: a character, or a name such as Tab, Enter or Escape."""
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, ord(key.upper()[0]))
            about = {"key": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **about)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Put text where the focus is, as a keyboard or a paste does."""
        self.call("Input.insertText", text=text)

    def tap(self, selector: str) -> None:
        """Touch the middle of an element with a finger, where it is visible without scrolling."""
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        box = self.see(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def heard(self) -> list[tuple[str, str]]:
        """Role and name of all that a screen reader finds, in its order."""
        nodes = {node["nodeId"]: node for node in self.call("Accessibility.getFullAXTree")["nodes"]}

        def walk(node: Any) -> Iterator[tuple[str, str]]:
            if not node["ignored"]:
                yield node["role"]["value"], node.get("name", {}).get("value", "")
            for child in node.get("childIds", []):
                yield from walk(nodes[child])

        return list(walk(next(iter(nodes.values()))))

    def faults(self) -> list[str]:
        """What axe-core finds wrong that is serious or critical."""
        self.see(Path(_AXE).read_text(encoding="utf-8") + ";0")
        found = self.see("axe.run().then(told => told.violations)")
        return [
            f"{each['id']}: {node['html']} {node.get('failureSummary')}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def picture(self) -> bytes:
        """The screen as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])


@contextmanager
def browser(folder: Path) -> Iterator[ClientConnection]:
    """A running browser that keeps its things in a folder, by its connection."""
    found = [name for name in NAMES if shutil.which(name)]
    assert found, "no Chromium: install the package chromium (apt-get install -y chromium)"
    command = [found[0], *OPTIONS, f"--user-data-dir={folder / 'browser'}", "about:blank"]
    log = (folder / "browser.log").open("w+", encoding="utf-8")
    with log, subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            # No pings: they draw from the state of `random` that the process shares, in the middle of another test.
            with connect(_address(folder / "browser.log"), max_size=None, ping_interval=None) as connection:
                yield connection
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser and all processes that it has started: they would go on writing into a folder that is removed."""
    process.terminate()
    process.wait(PATIENCE_S)
    until = time.monotonic() + _KILLED_S
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)


def _address(log: Path) -> str:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for line in log.read_text(encoding="utf-8").splitlines():
            if line.startswith(_TOLD):
                return line.removeprefix(_TOLD)
        time.sleep(0.05)
    raise AssertionError(f"Chromium did not start: {log.read_text(encoding='utf-8')}")
