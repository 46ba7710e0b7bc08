"""Requests of many threads, or of an event loop, merged while a run of the model is held up by the test."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.batching import Batcher
from inference.service import Call, Reply, Service
from pawl.bundle import Manifest, Tensor
from pawl.errors import InvalidRequest
from pawl.model import Answer, Column, Parameter
from pawl.receipt import ReceiptKeys


class Held:
    """A model whose runs wait until they are let go; it repeats each row and notes what it was asked."""

    def __init__(self, manifest: Manifest, outputs: Callable[[Mapping[str, Column]], dict[str, Column]]) -> None:
        self.manifest = manifest
        self.digest = manifest.name
        self.asked: list[Mapping[str, Column]] = []
        self.parameters: list[Mapping[str, Parameter]] = []
        self.go = threading.Semaphore(0)
        self._outputs = outputs

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        self.asked.append(inputs)
        self.parameters.append(parameters)
        assert self.go.acquire(timeout=10)
        if "bad" in np.ravel(np.asarray(next(iter(inputs.values())))).tolist():
            raise InvalidRequest("a bad row")
        outputs = self._outputs(inputs)
        return Answer(outputs, lambda: {"seen": list(next(iter(outputs.values())))})


@pytest.fixture
def classifier(manifest: Manifest) -> Held:
    return Held(replace(manifest, outputs=[Tensor("label", "BYTES", [-1])]), lambda inputs: {"label": inputs["text"]})


@pytest.fixture
def numbers(manifest: Manifest) -> Held:
    tensors = [Tensor("x", "FP32", [-1, -1])]
    about = replace(manifest, name="numbers", kind="tensors", inputs=tensors, outputs=[Tensor("y", "FP32", [-1, -1])])
    return Held(about, lambda inputs: {"y": 2 * np.asarray(inputs["x"])})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


Submit = Callable[[Batcher, Any, Mapping[str, Column], Mapping[str, Parameter]], "Future[Answer]"]


def by_loop(loop: asyncio.AbstractEventLoop) -> Submit:
    """Asks a batcher from an event loop."""

    def submit(
        batcher: Batcher, model: Any, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]
    ) -> "Future[Answer]":
        return asyncio.run_coroutine_threadsafe(batcher.run_async(model, inputs, parameters), loop)

    return submit


def by_threads(pool: ThreadPoolExecutor) -> Submit:
    """Asks a batcher from threads."""

    def submit(
        batcher: Batcher, model: Any, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter]
    ) -> "Future[Answer]":
        return pool.submit(batcher.run, model, inputs, parameters)

    return submit


@pytest.fixture(params=["threads", "loop"])
def submit(request: pytest.FixtureRequest, pool: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop) -> Submit:
    return by_threads(pool) if request.param == "threads" else by_loop(loop)


class Crowd:
    """Those who ask, one after another, so that their order in line is known."""

    def __init__(self, submit: Submit, batcher: Batcher, model: Held) -> None:
        self._submit, self._batcher, self._model = submit, batcher, model

    def ask(self, column: Column, is_first: bool = False, **parameters: Parameter) -> "Future[Answer]":
        """Ask, and come back once the request is in line, or has begun to run if it is the first."""
        waiting = self._batcher.waiting()
        name = self._model.manifest.inputs[0].name
        future = self._submit(self._batcher, self._model, {name: column}, parameters)
        wait_until(lambda: bool(self._model.asked) if is_first else self._batcher.waiting() > waiting)
        return future


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.001)


@pytest.fixture
def crowd(submit: Submit, classifier: Held) -> Crowd:
    return Crowd(submit, Batcher(4), classifier)


def test_a_request_that_finds_the_model_idle_runs_at_once_and_alone(submit: Submit, classifier: Held) -> None:
    classifier.go.release()

    answer = submit(Batcher(4), classifier, {"text": ["one"]}, {}).result(10)

    assert answer.outputs == {"label": ["one"]}
    assert classifier.asked == [{"text": ["one"]}]


def test_what_waits_during_a_run_goes_together_with_the_next_and_everybody_gets_their_own(
    crowd: Crowd, classifier: Held
) -> None:
    first = crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two"]), crowd.ask(["ten"]), crowd.ask(["six"])]

    classifier.go.release(2)

    assert [each.result(10).outputs["label"] for each in (first, *others)] == [["one"], ["two"], ["ten"], ["six"]]
    assert [list(each["text"]) for each in classifier.asked] == [["one"], ["two", "ten", "six"]]


def test_statistics_tell_runs_that_requests_share_and_what_they_waited_for_them(
    pool: ThreadPoolExecutor, classifier: Held
) -> None:
    runs: list[tuple[int, float]] = []
    batcher = Batcher(4, ran=lambda manifest, rows, seconds: runs.append((rows, seconds)))
    engine: Any = SimpleNamespace(get=lambda name, version: classifier)
    captured: Any = SimpleNamespace(offer=lambda make, size: None)
    service = Service(engine, ReceiptKeys("1:" + "s" * 32), captured, row_limit=4)
    service.run = batcher.run
    asked: list[Future[Reply]] = []
    for text in ("one", "two", "ten", "six"):
        body = json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]})
        asked.append(pool.submit(service.infer, body, None, "triage", None, Call("1")))
        wait_until(lambda: len(classifier.asked) + batcher.waiting() == len(asked))

    classifier.go.release(2)

    assert [each.result(10).status for each in asked] == [200] * 4
    (about,) = service.statistics.report([("triage", "3")])["model_stats"]
    told = {name: each["ns"] for name, each in about["inference_stats"].items()}
    assert [rows for rows, _ in runs] == [1, 3]
    assert (about["inference_count"], about["execution_count"]) == (4, 2)
    assert told["compute_infer"] == round(runs[0][1] * 1e9) + 3 * round(runs[1][1] * 1e9)
    assert told["queue"] == told["success"] - told["compute_infer"] > 0


def test_what_a_profile_counts_is_parted_like_the_answer(crowd: Crowd, classifier: Held) -> None:
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two", "ten"]), crowd.ask(["six"])]

    classifier.go.release(2)

    assert [each.result(10).features() for each in others] == [{"seen": ["two", "ten"]}, {"seen": ["six"]}]


def test_a_batch_has_no_more_rows_than_the_limit_and_the_rest_goes_with_the_one_after(
    crowd: Crowd, classifier: Held
) -> None:
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two", "ten"]) for _ in range(3)]

    classifier.go.release(3)

    assert [each.result(10).outputs["label"] for each in others] == 3 * [["two", "ten"]]
    assert [len(each["text"]) for each in classifier.asked] == [1, 4, 2]


def test_a_bad_request_fails_alone_and_its_neighbours_are_answered(crowd: Crowd, classifier: Held) -> None:
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two"]), crowd.ask(["bad"]), crowd.ask(["six"])]

    classifier.go.release(5)

    assert [others[i].result(10).outputs["label"] for i in (0, 2)] == [["two"], ["six"]]
    with pytest.raises(InvalidRequest, match="a bad row"):
        others[1].result(10)
    assert sorted(len(each["text"]) for each in classifier.asked) == [1, 1, 1, 1, 3]


def test_after_a_failed_run_the_next_in_line_has_its_turn(crowd: Crowd, classifier: Held) -> None:
    first = crowd.ask(["bad"], is_first=True)
    second = crowd.ask(["two"])

    classifier.go.release(2)

    with pytest.raises(InvalidRequest):
        first.result(10)
    assert second.result(10).outputs["label"] == ["two"]


def test_requests_with_different_parameters_are_not_merged(crowd: Crowd, classifier: Held) -> None:
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two"], top=1), crowd.ask(["ten"], top=True), crowd.ask(["six"], top=1)]

    classifier.go.release(3)

    assert [each.result(10).outputs["label"] for each in others] == [["two"], ["ten"], ["six"]]
    assert [list(each["text"]) for each in classifier.asked] == [["one"], ["two", "six"], ["ten"]]
    assert [each.get("top") for each in classifier.parameters] == [None, 1, True]


def test_of_texts_which_a_model_runs_one_by_one_a_few_go_together_however_long(
    submit: Submit, classifier: Held
) -> None:
    crowd = Crowd(submit, Batcher(32), classifier)
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask([text]) for text in ("short", "long " * 40, "terse", "a", "b", "c")]

    classifier.go.release(3)

    assert [each.result(10).outputs["label"][0].split()[0] for each in others] == ["short", "long", "terse", *"abc"]
    assert [len(each["text"]) for each in classifier.asked] == [1, 4, 2]


def test_the_one_who_has_waited_longest_is_served_first_whoever_could_fill_a_batch(
    crowd: Crowd, classifier: Held
) -> None:
    crowd.ask(["one"], is_first=True)
    crowd.ask(["six"], top=1)
    others = [crowd.ask(["two"]), crowd.ask(["ten"])]

    classifier.go.release(3)

    assert [each.result(10).outputs["label"] for each in others] == [["two"], ["ten"]]
    assert [list(each["text"]) for each in classifier.asked] == [["one"], ["six"], ["two", "ten"]]


def test_tensors_are_merged_only_with_tensors_of_their_width(submit: Submit, numbers: Held) -> None:
    crowd = Crowd(submit, Batcher(8), numbers)
    crowd.ask(np.ones((1, 2), np.float32), is_first=True)
    others = [crowd.ask(np.full((1, 2), each, np.float32)) for each in (3, 4)]
    wide = crowd.ask(np.full((2, 5), 7, np.float32))

    numbers.go.release(3)

    assert [each.result(10).outputs["y"].tolist() for each in others] == [[[6.0, 6.0]], [[8.0, 8.0]]]
    assert wide.result(10).outputs["y"].tolist() == 2 * [5 * [14.0]]
    assert [each["x"].shape for each in numbers.asked] == [(1, 2), (2, 2), (2, 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "text-generator"},
        {"inputs": [Tensor("text", "BYTES", [1])]},
        {"inputs": [Tensor("text", "BYTES", [-1, 2])]},
        {"outputs": [Tensor("label", "BYTES", [3])]},
        {"outputs": [Tensor("label", "BYTES", [])]},
    ],
)
def test_generators_and_models_whose_answer_is_not_a_row_for_a_row_are_never_merged(
    submit: Submit, classifier: Held, changes: dict[str, Any]
) -> None:
    classifier.manifest = replace(classifier.manifest, **changes)
    crowd = Crowd(submit, Batcher(8, delay_s=60), classifier)
    futures = [crowd.ask(["one"], is_first=True), crowd.ask(["one"]), crowd.ask(["one"])]

    classifier.go.release(3)

    assert [each.result(10).outputs["label"] for each in futures] == 3 * [["one"]]
    assert classifier.asked == 3 * [{"text": ["one"]}]


@pytest.mark.parametrize("rows", [2, 64])
def test_requests_that_fill_a_batch_by_themselves_take_turns_and_do_not_wait_for_company(
    submit: Submit, classifier: Held, rows: int
) -> None:
    crowd = Crowd(submit, batcher := Batcher(2, delay_s=60), classifier)
    texts = rows * ["a"]
    futures = [crowd.ask(texts, is_first=True), crowd.ask(texts)]
    assert (len(classifier.asked), batcher.waiting()) == (1, 1)

    classifier.go.release(2)

    assert [each.result(10).outputs["label"] for each in futures] == 2 * [texts]
    assert classifier.asked == 2 * [{"text": texts}]


def test_an_answer_with_too_few_rows_for_a_batch_makes_everybody_run_alone(submit: Submit, manifest: Manifest) -> None:
    about = replace(manifest, outputs=[Tensor("label", "BYTES", [-1])])
    model = Held(about, lambda inputs: {"label": list(inputs["text"])[:1]})
    crowd = Crowd(submit, Batcher(4), model)
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two"]), crowd.ask(["ten"])]
    model.go.release(4)

    assert [each.result(10).outputs["label"] for each in others] == [["two"], ["ten"]]


def test_as_many_batches_run_at_a_time_as_are_allowed(submit: Submit, classifier: Held) -> None:
    crowd = Crowd(submit, batcher := Batcher(4, runs=2), classifier)
    crowd.ask(["one"], is_first=True)
    second = submit(batcher, classifier, {"text": ["two"]}, {})
    wait_until(lambda: len(classifier.asked) == 2)
    third = crowd.ask(["six"])

    assert len(classifier.asked) == 2
    classifier.go.release(3)

    assert [each.result(10).outputs["label"] for each in (second, third)] == [["two"], ["six"]]


def test_with_a_delay_a_request_waits_for_company_until_the_batch_is_full(submit: Submit, classifier: Held) -> None:
    classifier.go.release(2)
    batcher = Batcher(2, delay_s=60)
    first = submit(batcher, classifier, {"text": ["one"]}, {})
    second = submit(batcher, classifier, {"text": ["two"]}, {})

    assert [first.result(10).outputs["label"], second.result(10).outputs["label"]] == [["one"], ["two"]]
    assert [sorted(each["text"]) for each in classifier.asked] == [["one", "two"]]


def test_with_a_delay_a_request_without_company_runs_alone_in_the_end(submit: Submit, classifier: Held) -> None:
    classifier.go.release()

    answer = submit(Batcher(4, delay_s=0.01), classifier, {"text": ["one"]}, {}).result(10)

    assert answer.outputs == {"label": ["one"]}


def test_each_run_is_reported_with_its_rows(submit: Submit, classifier: Held) -> None:
    ran: list[tuple[str, int]] = []
    batcher = Batcher(4, ran=lambda manifest, rows, seconds: ran.append((manifest.name, rows)))
    crowd = Crowd(submit, batcher, classifier)
    crowd.ask(["one"], is_first=True)
    others = [crowd.ask(["two"]), crowd.ask(["ten", "six"])]
    classifier.go.release(2)

    assert [len(each.result(10).outputs["label"]) for each in others] == [1, 2]
    assert ran == [("triage", 1), ("triage", 3)]


def test_a_thousand_requests_of_sixteen_threads_all_get_their_own_answer(classifier: Held) -> None:
    classifier.go.release(100_000)
    batcher = Batcher(8, runs=2)

    def ask(number: int) -> bool:
        texts = [f"text {number}", f"more {number}"][: 1 + number % 2]
        return batcher.run(classifier, {"text": texts}, {}).outputs["label"] == texts

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(1000)))
    assert batcher.waiting() == 0
    assert sum(len(each["text"]) for each in classifier.asked) == 1500


def test_a_thousand_requests_of_a_loop_and_of_threads_all_get_their_own_answer(
    loop: asyncio.AbstractEventLoop, classifier: Held
) -> None:
    classifier.go.release(100_000)
    batcher = Batcher(8, runs=2)

    async def ask(number: int) -> bool:
        texts = [f"text {number}", f"more {number}"][: 1 + number % 2]
        inputs = {"text": texts}
        if number % 3:
            answer = await batcher.run_async(classifier, inputs, {})
        else:
            answer = await asyncio.to_thread(batcher.run, classifier, inputs, {})
        return answer.outputs["label"] == texts

    async def ask_all() -> list[bool]:
        return await asyncio.gather(*map(ask, range(1000)))

    assert all(asyncio.run_coroutine_threadsafe(ask_all(), loop).result(30))
    assert batcher.waiting() == 0
    assert sum(len(each["text"]) for each in classifier.asked) == 1500


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_request_that_nobody_waits_for_any_more_keeps_no_place_and_no_turn(
    loop: asyncio.AbstractEventLoop, classifier: Held, place: int
) -> None:
    batcher = Batcher(1)
    crowd = Crowd(by_loop(loop), batcher, classifier)
    asked = [crowd.ask(["one"], is_first=True), crowd.ask(["two"]), crowd.ask(["six"])]

    asked[place].cancel()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(10)
    asked.append(crowd.ask(["ten"]))
    classifier.go.release(4)

    left = [future for number, future in enumerate(asked) if number != place]
    wanted = [text for number, text in enumerate(["one", "two", "six", "ten"]) if number != place]
    assert [future.result(10).outputs["label"] for future in left] == [[text] for text in wanted]
    ran = [each["text"][0] for each in classifier.asked]
    assert ran == (wanted if place else ["one", *wanted])  # a run that has begun cannot be broken off


def test_a_turn_that_comes_just_when_nobody_waits_any_more_is_passed_on(classifier: Held) -> None:
    batcher = Batcher(1)

    async def leave_at_the_turn() -> Answer:
        asked = [asyncio.create_task(batcher.run_async(classifier, {"text": [text]}, {})) for text in ("one", "two")]
        last = asyncio.create_task(batcher.run_async(classifier, {"text": ["six"]}, {}))
        await asyncio.to_thread(wait_until, lambda: batcher.waiting() == 2)
        classifier.go.release()
        wait_until(lambda: batcher.waiting() == 1)  # the loop stands still: the second has its turn, and knows nothing
        asked[1].cancel()
        classifier.go.release()
        return await asyncio.wait_for(last, 10)

    assert asyncio.run(leave_at_the_turn()).outputs["label"] == ["six"]
    assert [each["text"][0] for each in classifier.asked] == ["one", "six"]


class Timed:
    """A model whose runs take what a clock of the test says, so much a byte; it notes which threads ran it."""

    def __init__(self, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, byte_s: float) -> None:
        self.manifest = manifest
        self.digest = manifest.name
        self.ran_by: list[threading.Thread] = []
        self._now_ns = 0
        self._byte_s = byte_s
        monkeypatch.setattr("inference.batching.time.perf_counter_ns", lambda: self._now_ns)

    def predict(self, inputs: Mapping[str, Column], parameters: Mapping[str, Parameter] = {}) -> Answer:
        self.ran_by.append(threading.current_thread())
        self._now_ns += round(len(inputs["text"][0]) * self._byte_s * 1e9)
        return Answer({"label": inputs["text"]}, dict)


@pytest.mark.parametrize(
    ("kind", "batcher", "byte_s", "length", "takes_a_thread"),
    [
        ("text-classifier", Batcher(4), 0.0001, 40, False),
        ("text-classifier", Batcher(4), 0.0001, 60, True),
        ("text-classifier", Batcher(4), 0.001, 10, True),
        ("text-classifier", Batcher(4, runs=2), 0.0001, 40, True),
        ("text-classifier", Batcher(4, delay_s=0.001), 0.0001, 40, True),
        ("tensors", Batcher(4), 0.0001, 40, True),
        ("tensors", Batcher(4), 0.000001, 40, False),
    ],
    ids=["short", "long text", "slow model", "two processors", "waits for company", "gains by merging", "tiny"],
)
def test_a_run_that_is_shorter_than_handing_it_over_is_worth_takes_no_thread(
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    batcher: Batcher,
    byte_s: float,
    length: int,
    takes_a_thread: bool,
) -> None:
    model: Any = Timed(replace(manifest, kind=kind, outputs=[Tensor("label", "BYTES", [-1])]), monkeypatch, byte_s)

    async def ask() -> list[Answer]:
        return [await batcher.run_async(model, {"text": [size * "x"]}, {}) for size in (20, length)]

    answers = asyncio.run(ask())

    assert [answer.outputs["label"] for answer in answers] == [["x" * 20], ["x" * length]]
    first, second = model.ran_by
    assert first is not threading.main_thread()  # whose pace nobody knows
    assert (second is not threading.main_thread()) == takes_a_thread


def test_a_short_run_that_fails_fails_alone_and_leaves_its_turn(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = Timed(replace(manifest, outputs=[Tensor("label", "BYTES", [-1])]), monkeypatch, 0.0001)
    batcher = Batcher(4)

    async def ask() -> list[Answer]:
        first = await batcher.run_async(model, {"text": ["one"]}, {})
        with pytest.raises(IndexError):
            await batcher.run_async(model, {"text": []}, {})
        return [first, await batcher.run_async(model, {"text": ["two"]}, {})]

    assert [answer.outputs["label"] for answer in asyncio.run(ask())] == [["one"], ["two"]]
    assert model.ran_by[1:] == 2 * [threading.main_thread()]
