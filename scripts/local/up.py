"""`scripts/up`: the whole house on this machine, one turn of the loop, then it keeps serving until Ctrl-C."""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from artifacts.layers import starter
from artifacts.signing import local_key
from artifacts.target import ROOT, BuildError
from local import deploy
from local.client import RequestRefused
from local.cloud import LocalCloud
from local.errors import LocalError
from local.story import MODEL, Figures, Narrator, Story, StoryError, percent
from operations.seeding import prepare, seed
from operations.stack import OperationError, Stack

HOME = ROOT / ".pawl"
FREE_BYTES = 3_000_000_000
# Locally nobody waits for a window to fill, and one client sends a day's traffic in a minute.
PARAMETERS = {"CollectWindowSeconds": "1", "ThrottleRate": "1000", "ThrottleBurst": "1000"}


class ConsoleNarrator(Narrator):
    """Tells the story on a terminal; bars show only there."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("  {task.description:<16}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._tasks: dict[str, TaskID] = {}

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(f"  {line}", markup=False, highlight=False)

    def head(self, line: str) -> None:
        """Begin a step."""
        self._console.print(f"[bold]{line}[/bold]", highlight=False)

    def progress(self, what: str, done: float, total: float) -> None:
        """Move a bar; a full one goes away."""
        if what not in self._tasks:
            self._bars.start()
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))


def main() -> int:
    """Run the house; 0 only if everything asked for worked."""
    arguments = _parse()
    console = Console(stderr=arguments.json, soft_wrap=True)
    narrator = ConsoleNarrator(console)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cloud = LocalCloud(HOME, port=arguments.port)
    try:
        with cloud:
            _run(cloud, narrator, console, arguments)
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (LocalError, BuildError, OperationError, RequestRefused, StoryError) as error:
        console.print(f"[red]scripts/up: {type(error).__name__}:[/red] {error}", highlight=False)
        return 1
    return 0


def _run(cloud: LocalCloud, narrator: ConsoleNarrator, console: Console, arguments: argparse.Namespace) -> None:
    began = time.monotonic()
    stack = bring_up(cloud, narrator)
    story = Story(stack, narrator)
    first = story.predict([story.old[0].text])[0]
    narrator.say(f"first prediction after {time.monotonic() - began:.0f} s: {first.label} ({first.confidence:.2f})")
    preparing = round(time.monotonic() - began, 1)
    narrator.head("The loop turns")
    figures = story.turn()
    figures.seconds = {"prepare": preparing, **figures.seconds, "total": round(time.monotonic() - began, 1)}
    console.print(_table(figures))
    if arguments.json:
        print(json.dumps(_summary(story, figures)), flush=True)
    if not arguments.once:
        _keep_serving(story, console, cloud)


def bring_up(cloud: LocalCloud, narrator: ConsoleNarrator) -> Stack:
    """Build and deploy the real template on a running local cloud, and register the starter models."""
    if shutil.disk_usage(ROOT).free < FREE_BYTES:
        raise BuildError(f"less than {FREE_BYTES / 1e9:.0f} GB of disk space are left: free some")
    narrator.head("Building the starter model, the layers and the functions")
    models = starter()
    template = deploy.build("host", home=HOME, show=narrator.say)
    narrator.head("Deploying the template to the local cloud")
    os.environ.update(cloud.environment())
    stack = Stack()
    prepare(stack, local_key().trusted)
    deploy.deploy(cloud, template, stack.name, PARAMETERS, narrator.say)
    registered = seed(stack, models, time.time_ns() // 1_000_000)
    stack.invoke("ReleaseFunction", {"detail-type": "Deployed"})
    narrator.say(f"registered {', '.join(registered)}; API at {stack.outputs['ApiUrl']}")
    return stack


def _table(figures: Figures) -> Table:
    table = Table(title="Before and after one turn of the loop")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    before, after = figures.accuracy_before, figures.accuracy_after
    table.add_row("model version", figures.versions["before"], figures.versions["after"])
    table.add_row("accuracy on old traffic", percent(before["old"]), percent(after["old"]))
    table.add_row("accuracy on new traffic", percent(before["new"]), percent(after["new"]))
    latency = figures.latency_ms
    table.add_row("latency, HTTP p50", f"{latency['before']} ms", f"{latency['after']} ms")
    table.add_row("drift score (old, new traffic)", f"{figures.drift['old']:.2f}", f"{figures.drift['new']:.2f}")
    return table


def _summary(story: Story, figures: Figures) -> dict[str, Any]:
    return {"url": story.client.url, "api_key": story.stack.api_key, **asdict(figures)}


def _keep_serving(story: Story, console: Console, cloud: LocalCloud) -> None:
    url, key = story.client.url, story.stack.api_key
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["where is my parcel?"]}]}
    prediction = story.predict(["where is my parcel?"])[0]
    feedback = {"metric_name": "thumbs_up", "value": True, "inference_id": prediction.inference_id}
    console.print("\nServing until Ctrl-C. Predict, and say what you think of the answer:\n", highlight=False)
    for path, content in ((f"/v2/models/{MODEL}/infer", body), ("/feedback", feedback)):
        command = (
            f"curl -s {url}{path} -H 'x-api-key: {key}' -H 'content-type: application/json' -d '{json.dumps(content)}'"
        )
        console.print(command, markup=False, highlight=False)
        console.print()
    console.print(
        f"Operate it: export AWS_ENDPOINT_URL={cloud.endpoint} AWS_DEFAULT_REGION=us-east-1 "
        "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test; scripts/pawl status",
        highlight=False,
    )
    signal.pause()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/up", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit when the loop has turned")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of figures as JSON")
    parser.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("PAWL_PORT", "4566")),
        help="port of the local cloud (default: $PAWL_PORT or 4566)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
