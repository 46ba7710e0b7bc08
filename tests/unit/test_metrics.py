from collections.abc import Callable
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from inference.delivery import LOST, SPILLED
from inference.metrics import Metrics, WatchedCapture
from pawl.bundle import Manifest
from pawl.records import CaptureRecord


def _samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample that is not nothing, by its name and its labels' values in alphabetical order of the labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if family.name.startswith("pawl") and not sample.name.endswith("_created") and sample.value
    }


def test_a_request_is_counted_by_model_protocol_and_status() -> None:
    metrics = Metrics()
    for status in ("200", "200", "400"):
        with metrics.watch("rest") as sighting:
            sighting.model, sighting.version, sighting.status = "triage", "3", status

    samples = _samples(metrics)

    assert samples["pawl_requests_total", "triage", "rest", "200", "3"] == 2
    assert samples["pawl_requests_total", "triage", "rest", "400", "3"] == 1
    assert samples["pawl_request_duration_seconds_count", "triage", "rest", "3"] == 3


def test_a_request_for_a_model_that_is_not_here_is_counted_without_a_name() -> None:
    metrics = Metrics()
    with metrics.watch("openai") as sighting:
        sighting.status = "404"

    assert _samples(metrics)["pawl_requests_total", "", "openai", "404", ""] == 1


def test_a_request_that_ends_in_an_error_nobody_foresaw_is_counted_too() -> None:
    metrics = Metrics()
    try:
        with metrics.watch("grpc") as sighting:
            sighting.status = "INTERNAL"
            raise ArithmeticError
    except ArithmeticError:
        pass

    assert _samples(metrics)["pawl_requests_total", "", "grpc", "INTERNAL", ""] == 1


def test_the_rows_of_each_run_fall_into_the_histogram_of_their_model(manifest: Manifest) -> None:
    metrics = Metrics()
    for rows in (1, 3, 8):
        metrics.ran(manifest, rows, 0.002)

    samples = _samples(metrics)

    assert [
        samples.get(("pawl_batch_rows_bucket", bound, "triage", "3")) for bound in ("1.0", "2.0", "4.0", "8.0")
    ] == [
        1,
        1,
        2,
        3,
    ]
    assert samples["pawl_batch_rows_sum", "triage", "3"] == 12
    assert samples["pawl_run_duration_seconds_count", "triage", "3"] == 3


def test_captured_answers_and_generated_tokens_are_counted_when_their_records_are_made(
    captured: Callable[..., CaptureRecord],
) -> None:
    metrics, offered = Metrics(), list[Callable[[], CaptureRecord]]()
    watched = WatchedCapture(_Offers(offered), metrics)
    text = replace(captured(), model="parrot", version="1", features={"prompt_tokens": [4, 4], "tokens": [7, 5]})

    watched.offer(captured, 400)
    watched.offer(lambda: text, 400)
    assert _samples(metrics) == {}
    made = [make() for make in offered]

    assert made == [captured(), text]
    samples = _samples(metrics)
    assert samples["pawl_captured_records_total", "triage", "3"] == 1
    assert samples["pawl_generated_tokens_total", "parrot", "1"] == 12
    assert ("pawl_generated_tokens_total", "triage", "3") not in samples


def test_lost_records_and_gauges_show_their_value_at_the_time_they_are_asked_for() -> None:
    metrics, waiting = Metrics(), [1.0]
    metrics.show("pawl_queued_requests", "Requests that wait.", lambda: waiting[0])
    metrics.missed(LOST, 2)
    metrics.missed(SPILLED, 3)
    waiting[0] = 5.0

    assert _samples(metrics) == {
        ("pawl_capture_lost_total",): 2,
        ("pawl_capture_spilled_total",): 3,
        ("pawl_queued_requests",): 5,
    }


class _Offers:
    def __init__(self, offered: list[Callable[[], CaptureRecord]]) -> None:
        self._offered = offered

    def offer(self, make: Callable[[], CaptureRecord], size: int) -> None:
        self._offered.append(make)
