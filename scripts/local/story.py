"""The loop's story on a running deployment: traffic, feedback, drift, retraining, canary, refusal, rollback.

Nothing is pre-computed: every figure is what the deployment answered.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.client import Client, Prediction, RequestRefused, feedback_body
from local.material import resealed, split_later, spoil
from operations.stack import Stack
from pawl.dataset import Row
from pawl.identity import isoformat
from training import starter

MODEL = "triage"
# A canary for a story that nobody wants to watch for a day: seconds where a deployment takes hours, and a wide margin.
TERMS = {
    "weights": [0.2, 0.5],
    "smallest_sample": 20,
    "step_hours": 0.001,
    "longest_step_hours": 0.008,
    "longest_hours": 0.2,
    "look_seconds": 1,
    "margin": 0.2,
    "feedback_minutes": 0.25,
    "collect_minutes": 0.25,
}
CANARY_S = 300
AT_ONCE = 20


class StoryError(Exception):
    """The loop did not turn: what was expected, and what happened instead."""


class Narrator:
    """Says what happens; the command line and the tests each bring their own."""

    def say(self, line: str) -> None:
        """Tell one line."""

    def progress(self, what: str, done: float, total: float) -> None:
        """Show how far something long has come."""


@dataclass(slots=True)
class Figures:
    """What the story measured."""

    versions: dict[str, str] = field(default_factory=dict)
    accuracy_before: dict[str, float] = field(default_factory=dict)
    accuracy_after: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Story:
    """Drives a seeded deployment through one turn of the loop."""

    def __init__(self, stack: Stack, narrator: Narrator) -> None:
        self.stack = stack
        self.client = Client(stack.outputs["ApiUrl"], stack.api_key)
        self.tell = narrator
        self.figures = Figures()
        self.asked = 0
        self.began_ms = now_ms()
        self.old = starter.traffic()
        self.arriving, self.unseen = split_later()

    def turn(self) -> Figures:
        """The whole story, in order; StoryError when the loop does not turn."""
        with self.stage("undrifted"):
            self.watch_undrifted()
        with self.stage("drifted"):
            self.watch_drifted()
        with self.stage("retrain"):
            self.wait_for_run()
        with self.stage("release"):
            self.wait_for_gates("2")
        with self.stage("canary"):
            self.go_through_canary("2")
            self.compare_after()
        with self.stage("refusal"):
            self.offer_spoiled()
        with self.stage("rollback"):
            self.roll_back()
            self.take_back(self.offer_again())
            self.promote()
        return self.figures

    def watch_undrifted(self) -> None:
        """Traffic like the training data: answered well, and no drift is found."""
        began = now_ms()
        predictions = self.send(self.old, "old traffic")
        self.figures.versions["before"] = predictions[0].version
        self.figures.accuracy_before["old"] = share_right(predictions, self.old)
        self.settle()
        report = self.check_drift(began)
        self.figures.drift["old"] = report["score"]
        expect(report["status"] == "stable", f"no drift on undrifted traffic, but it is {report['status']}: {report}")
        self.tell.say(
            f"{len(self.old)} questions of the old kind: {percent(self.figures.accuracy_before['old'])} "
            f"answered rightly, drift score {report['score']:.2f}, no drift"
        )
        self.figures.latency_ms["before"] = self.time_one()
        self.settle()

    def watch_drifted(self) -> None:
        """Half a year later: agents label what they handle, and the check announces the drift."""
        began = now_ms()
        predictions = self.send(self.arriving, "later traffic")
        self.label(predictions, self.arriving)
        self.refuse_forgery(predictions[0])
        self.figures.accuracy_before["new"] = share_right(self.ask(self.unseen), self.unseen)
        self.settle()
        report = self.check_drift(began)
        self.figures.drift["new"] = report["score"]
        expect(report["status"] == "drifted", f"drift on later traffic, but it is {report['status']}: {report}")
        self.tell.say(
            f"half a year later: {percent(self.figures.accuracy_before['new'])} of unseen questions answered "
            f"rightly; drift score {report['score']:.2f}, moved: {', '.join(report['drifted'][:4])}"
        )

    def label(self, predictions: Sequence[Prediction], rows: Sequence[Row]) -> None:
        """Thumbs from customers on every third answer, the right label from agents on all of them."""
        labels = [
            feedback_body(p.inference_id, "label", row.label, f"agent-{i % 5}")
            for i, (p, row) in enumerate(zip(predictions, rows, strict=True))
        ]
        accepted = self.client.give_all_feedback(labels)
        thumbs = list(zip(predictions, rows, strict=True))[::3]
        for prediction, row in thumbs:
            self.client.give_feedback(prediction.inference_id, "thumbs_up", prediction.label == row.label, "customer")
        expect(accepted == len(labels), f"{len(labels)} labels accepted, but {accepted} were")
        self.tell.say(
            f"feedback: {accepted} labels by agents, {len(thumbs)} thumbs by customers, by inference_id alone"
        )

    def refuse_forgery(self, prediction: Prediction) -> None:
        """An altered inference_id is refused by its signature."""
        parts = prediction.inference_id.split(".")
        forged = ".".join([*parts[:2], "other-model", *parts[3:]])
        try:
            self.client.give_feedback(forged, "thumbs_up", True)
        except RequestRefused as refusal:
            expect(refusal.status == 400, f"a forged inference_id gets 400, but it got {refusal}")
            self.tell.say("a forged inference_id was refused without any look-up")
            return
        raise StoryError("a forged inference_id was accepted")

    def check_drift(self, since_ms: int) -> dict[str, Any]:
        """Invoke the scheduled check on the traffic since an instant."""
        event = {"model": MODEL, "since": isoformat(since_ms), "until": isoformat(now_ms() + 1)}
        return self.stack.invoke("DriftCheckFunction", event)["reports"][0]

    def wait_for_run(self) -> None:
        """`DriftDetected` starts a training run by itself; follow it to its end."""
        job = self.wait(
            "the training run starts", 60, lambda: next(iter(self.stack.call("GET", "/jobs")["jobs"]), None)
        )
        self.tell.say(f"DriftDetected started run {job['id'][:8]} of version {job['version']}: {job['because']}")

        def finished() -> dict[str, Any] | None:
            now = self.stack.call("GET", f"/jobs/{job['id']}")
            self.tell.progress("training", float(now["progress"]), 1.0)
            return now if now["status"] not in ("pending", "running") else None

        ended = self.wait("the training run ends", 600, finished)
        expect(ended["status"] == "completed", f"a completed run, but it {ended['status']}: {ended['error']}")
        self.tell.say(
            f"training took {ended['runtime_seconds']:.0f} s "
            f"(on a GPU instance about {ended['estimated_cost_usd']:.4f} USD)"
        )

    def wait_for_gates(self, version: str) -> None:
        """The candidate's arrival starts the gates; wait until they have let it into its canary."""
        self.stack.bucket.write(f"models/{MODEL}/canary.json", json.dumps(TERMS).encode())
        record = self.wait(f"version {version} is decided on", 300, lambda: self.decided(version))
        self.tell_gates(record)
        expect(record["state"] == "canary", f"version {version} in its canary, but it is {record['state']}")

    def go_through_canary(self, version: str) -> None:
        """Customers ask and say what they think of the answers, until these have proved the candidate."""
        self.answer_customers(version, lambda prediction, row: prediction.label == row.label)
        record = self.record(version)
        self.tell_canary(record)
        expect(record["state"] == "live", f"version {version} live, but it is {record['state']}: {record['canary']}")
        self.wait(f"version {version} answers", 30, lambda: self.ask(self.old[:1])[0].version == version)
        self.figures.versions["after"] = version

    def offer_again(self) -> str:
        """The released version under another number: a candidate that passes its gates. The number."""
        version = self.stack.registry.next_version(MODEL)
        files = self.stack.bucket.read_folder(f"models/{MODEL}/{self.figures.versions['after']}/")
        for name, data in resealed(files, version).items():
            self.stack.bucket.write(f"candidates/{MODEL}/{version}/{name}", data)
        passed = self.wait(f"version {version} is decided on", 300, lambda: self.decided(version))
        expect(passed["state"] == "canary", f"version {version} in its canary, but it is {passed['state']}")
        return version

    def take_back(self, version: str) -> None:
        """Customers want none of a candidate's answers: its canary takes it back by itself."""
        live = self.figures.versions["before"]
        self.answer_customers(version, lambda prediction, row: prediction.version != version)
        record = self.record(version)
        self.tell_canary(record)
        expect(record["state"] == "rolled_back", f"version {version} taken back, but it is {record['state']}")
        answering = {each.version for each in self.ask(self.old[:40])}
        expect(answering == {live}, f"version {live} answers everything again, but {answering} do")
        incident = self.stack.registry.rollbacks(MODEL)[version]
        self.figures.seconds["rolled_back_after_verdict"] = incident["seconds"]
        self.tell.say(f"{incident['sentence']} It took {incident['seconds']} s from the verdict.")

    def answer_customers(self, version: str, pleases: Callable[[Prediction, Row], bool]) -> None:
        """Traffic with thumbs on every answer while the canary is on, and looks before the schedule has any."""
        rows, deadline = itertools.cycle(self.arriving), time.monotonic() + CANARY_S
        while self.stack.invoke("ReleaseFunction", {})["canary"] is not None:
            asked = list(itertools.islice(rows, AT_ONCE))
            predictions = self.predict([row.text for row in asked], row_limit=1)
            told = zip(predictions, asked, strict=True)
            thumbs = [feedback_body(p.inference_id, "thumbs_up", pleases(p, row), "customer") for p, row in told]
            self.client.give_all_feedback(thumbs)
            self.ask_pinned(version, asked[0].text)
            expect(
                time.monotonic() < deadline, f"a verdict on version {version} within {CANARY_S} s, but there is none"
            )

    def ask_pinned(self, version: str, text: str) -> None:
        """During a canary, whoever names a version or an alias is answered by it, whichever arm the request came to."""
        live = self.figures.versions["before"]
        for named, wanted in ((live, live), (version, version), ("live", live), ("candidate", version)):
            (answer,) = self.client.predict(MODEL, [text], version=named)
            expect(answer.version == wanted, f"{named} answered by version {wanted}, but it was by {answer.version}")

    def tell_canary(self, record: dict[str, Any]) -> None:
        """Say each step of a canary and why it was taken."""
        for note in record["canary"]:
            self.tell.say(f"  {note['weight']:>4.0%}  {note['what']:<11} {note['because'][:150]}")

    def compare_after(self) -> None:
        """Ask the new version what the old one was asked."""
        self.figures.accuracy_after["old"] = share_right(self.ask(self.old), self.old)
        self.figures.accuracy_after["new"] = share_right(self.ask(self.unseen), self.unseen)
        self.figures.latency_ms["after"] = self.time_one()
        before, after = self.figures.accuracy_before["new"], self.figures.accuracy_after["new"]
        expect(after > before, f"more unseen questions right than {percent(before)}, but it is {percent(after)}")

    def offer_spoiled(self) -> None:
        """A candidate whose labels were mixed up opens perfectly well, and is refused by its answers."""
        version = self.stack.registry.next_version(MODEL)
        files = self.stack.bucket.read_folder(f"models/{MODEL}/{self.figures.versions['after']}/")
        for name, data in spoil(files, version).items():
            self.stack.bucket.write(f"candidates/{MODEL}/{version}/{name}", data)
        record = self.wait(f"version {version} is decided on", 300, lambda: self.decided(version))
        expect(record["state"] == "refused", f"a spoiled candidate is refused, but it is {record['state']}")
        self.tell.say(f"version {version}, spoiled on purpose, was refused:")
        self.tell_gates(record)

    def roll_back(self) -> None:
        """One command back to the version before."""
        before = self.figures.versions["before"]
        self.stack.call("POST", f"/releases/{MODEL}/rollback")
        self.wait(f"version {before} answers", 30, lambda: self.ask(self.old[:1])[0].version == before)
        self.tell.say(f"scripts/pawl rollback {MODEL}: version {before} answers again")

    def promote(self) -> None:
        """One command forward again."""
        after = self.figures.versions["after"]
        self.stack.call("POST", f"/releases/{MODEL}/promote", {"version": after})
        self.wait(f"version {after} answers", 30, lambda: self.ask(self.old[:1])[0].version == after)
        self.tell.say(f"scripts/pawl promote {MODEL} {after}: version {after} answers again")

    def send(self, rows: Sequence[Row], what: str) -> list[Prediction]:
        """Ask one question a request, as an app does."""
        predictions: list[Prediction] = []
        for start in range(0, len(rows), 20):
            texts = [row.text for row in rows[start : start + 20]]
            predictions += self.predict(texts, row_limit=1)
            self.tell.progress(what, len(predictions), len(rows))
        return predictions

    def ask(self, rows: Sequence[Row]) -> list[Prediction]:
        """Ask many questions a request."""
        return self.predict([row.text for row in rows])

    def predict(self, texts: Sequence[str], row_limit: int = 16) -> list[Prediction]:
        """Ask, and count what `collect` will have to store."""
        self.asked += len(texts)
        return self.client.predict(MODEL, texts, row_limit)

    def time_one(self) -> float:
        """Median milliseconds of a warm request over HTTP, client included."""
        times: list[float] = []
        for row in self.old[:20]:
            began = time.perf_counter()
            self.predict([row.text])
            times.append((time.perf_counter() - began) * 1000)
        return round(sorted(times)[len(times) // 2], 1)

    def settle(self) -> None:
        """Wait until `collect` has stored everything that was asked, so that the next window begins clean."""

        def collected() -> bool:
            version = self.figures.versions["before"]
            profiles = self.stack.traffic.profiles(MODEL, version, self.began_ms, now_ms() + 1)
            return sum(profile.rows for profile in profiles) == self.asked

        self.wait("captured traffic is collected", 90, collected)

    def decided(self, version: str) -> dict[str, Any] | None:
        """The version's record once the gates have decided."""
        found = self.record(version)
        return None if found is None or found["state"] in ("candidate", "waiting") else found

    def record(self, version: str) -> Any:
        """What the release API tells of a version; None before it knows it."""
        versions = self.stack.call("GET", f"/releases/{MODEL}")["versions"]
        return next((each for each in versions if each["version"] == version), None)

    def tell_gates(self, record: dict[str, Any]) -> None:
        """Say each gate's verdict, what was measured and what was wanted."""
        for gate in record["gates"]:
            verdict = "pass" if gate["passed"] else "FAIL"
            measured, wanted = clipped(gate["measured"], 60), clipped(gate["wanted"], 80)
            self.tell.say(f"  {verdict}  {gate['name']:<16} {measured}  (wanted {wanted})")

    def wait(self, what: str, timeout_s: float, ready: Callable[[], Any]) -> Any:
        """Poll until something is ready and return it; StoryError when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            if result := ready():
                return result
            if time.monotonic() > deadline:
                raise StoryError(f"waited {timeout_s:.0f} s, but not yet: {what}")
            time.sleep(0.5)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage of the story."""
        began = time.monotonic()
        yield
        self.figures.seconds[name] = round(time.monotonic() - began, 1)


def share_right(predictions: Sequence[Prediction], rows: Sequence[Row]) -> float:
    """The share of rows whose label was predicted."""
    right = sum(p.label == row.label for p, row in zip(predictions, rows, strict=True))
    return round(right / len(rows), 4)


def expect(holds: bool, wanted: str) -> None:
    """StoryError unless something holds; `wanted` says what, and what happened instead."""
    if not holds:
        raise StoryError(f"expected {wanted}")


def clipped(text: str, most: int) -> str:
    """A text of at most so many characters; what is cut off leaves a mark."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.1f} %"


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
