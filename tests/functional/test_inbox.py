"""`drift.inbox` as a whole: files and their events in, profiles by the hour out, and faults beside the files."""

import gzip
import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.errors import Conflict
from pawl.identity import day_of, isoformat
from pawl.profile import Profile
from pawl.registry import Registry
from pawl.versions import Elsewhere

HOUR_MS = 3_600_000
FOLDER = "inbox/traffic/churn/7/"
LARGE = pytest.mark.parametrize("chunk_rows", [20_000])


@pytest.fixture
def chunk_rows() -> int:
    """So many rows a chunk: few, so that small files have several."""
    return 10


@pytest.fixture
def inbox(
    chunk_rows: int,
    start: Callable[[str], ModuleType],
    cloud: Any,
    starter: Bundle,
    dataset: FrozenDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    cloud.seed(starter, dataset)
    cloud.queues["inbox"] = boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    monkeypatch.setenv("INBOX_QUEUE_URL", cloud.queues["inbox"])
    monkeypatch.setenv("CHUNK_ROWS", str(chunk_rows))
    return start("drift.inbox")


class Clock:
    """A Lambda context whose time runs out after so many looks at it."""

    aws_request_id = "8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def get_remaining_time_in_millis(self) -> int:
        self.looks -= 1
        return 60_001 if self.looks > 0 else 60_000


@pytest.fixture
def notice(inbox: ModuleType, batch_of: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Hands the function the event of one object, with time for so many chunks."""

    def tell(key: str, chunks: int = 1_000_000) -> None:
        body = {"detail-type": "Object Created", "source": "aws.s3", "detail": {"object": {"key": key}}}
        assert inbox.handler(batch_of(body), Clock(chunks)) == {"batchItemFailures": []}

    return tell


@pytest.fixture
def drop(cloud: Any, notice: Callable[..., None]) -> Callable[[str, bytes], None]:
    """Puts a file into the bucket and hands its event to the function."""

    def put(key: str, data: bytes) -> None:
        cloud.bucket.write(key, data)
        notice(key)

    return put


@pytest.fixture
def churn(cloud: Any, now_ms: int) -> Callable[..., Profile]:
    """The profiles of a model, merged."""

    def read(hours_ago: float = 1000, until_hours_ago: float = -1, model: str = "churn", version: str = "7") -> Profile:
        whole = Profile.open()
        since_ms, until_ms = now_ms - round(hours_ago * HOUR_MS), now_ms - round(until_hours_ago * HOUR_MS)
        for profile in cloud.traffic.profiles(model, version, since_ms, until_ms):
            whole.merge(profile)
        return whole

    return read


def faults(cloud: Any, key: str) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    for each in cloud.bucket.keys(f"{key}.errors/"):
        for line in cloud.bucket.read(each).decode().splitlines():
            told = json.loads(line)
            found.append((told["line"], told["reason"], told["row"]))
    return found


def csv(header: str, rows: Sequence[Sequence[Any]]) -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""]).encode()


def table(rows: Sequence[tuple[int, float, str]]) -> bytes:
    """Rows of time, age and label as CSV."""
    lines = (f"{at},{age},{label}\n" for at, age, label in rows)
    return ("unix_ms,age,label\n" + "".join(lines)).encode()


def test_a_dropped_file_becomes_profiles_in_the_hours_that_its_rows_belong_to(
    inbox: ModuleType, event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    rows = "2026-07-14T08:59:59Z,41,Oslo,stays,0.9\n2026-07-14T09:00:00+00:00,,Rome,leaves,0.6\n"
    cloud.bucket.write(
        "inbox/traffic/churn/2026-07/monday.csv",
        f"time,age,city,label,confidence\n{rows}2026-07-14 08:10,7,,stays,1\n".encode(),
    )

    assert inbox.handler(event("sqs_traffic_dropped"), Clock(99)) == {"batchItemFailures": []}

    first, second = (
        json.loads(cloud.bucket.read(key)) for key in cloud.bucket.keys("profiles/churn/2026-07/2026-07-14/")
    )
    assert (first["rows"], first["first_ms"], first["last_ms"]) == (2, 1784016600000, 1784019599000)
    assert (second["rows"], second["first_ms"], second["last_ms"]) == (1, 1784019600000, 1784019600000)
    assert first["columns"]["label"]["counts"] == {"stays": 2}
    assert first["columns"]["city"]["counts"] == {"Oslo": 1}
    assert (first["columns"]["age"]["type"], first["columns"]["age"]["maximum"]) == ("float", 41.0)
    assert (first["columns"]["city"]["missing"], second["columns"]["age"]["missing"]) == (1, 1)
    assert set(first["columns"]) == {"age", "city", "label", "confidence"}
    assert cloud.registry.elsewhere("churn") == Elsewhere("churn", "2026-07", 1784019600000)
    assert list(cloud.bucket.keys("traffic/")) == []


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_every_format_says_the_same(
    ending: str, drop: Callable[[str, bytes], None], churn: Callable[..., Profile], now_ms: int
) -> None:
    rows = [(now_ms - n * HOUR_MS, float(n), "ab"[n % 2]) for n in range(25)]
    plain = table(rows)
    if "jsonl" in ending:
        plain = b"".join(
            json.dumps({"unix_ms": at, "age": age, "label": label}).encode() + b"\n" for at, age, label in rows
        )

    drop(f"{FOLDER}a.{ending}", gzip.compress(plain) if ending.endswith("gz") else plain)

    expected = Profile.open()
    columns = {"age": [age for _, age, _ in rows], "label": [label for *_, label in rows]}
    expected.update(columns, rows[-1][0], rows[0][0])
    assert churn().to_json() == expected.to_json()


def test_a_row_that_comes_late_lies_in_the_window_where_it_belongs(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], now_ms: int
) -> None:
    drop(FOLDER + "today.csv", table([(now_ms - HOUR_MS, 1, "a")]))
    drop(FOLDER + "late.csv", table([(now_ms - 50 * HOUR_MS, 2, "b"), (now_ms - 2 * HOUR_MS, 3, "a")]))

    assert (churn(24).rows, churn(24).columns["age"].maximum) == (2, 3.0)
    assert (churn(51, 49).rows, churn(51, 49).columns["label"].counts) == (1, {"b": 1})


def test_without_a_column_of_time_the_file_s_own_time_counts(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], cloud: Any
) -> None:
    drop(FOLDER + "a.csv", b"age\n41\n42\n")

    written_ms = cloud.bucket.facts(FOLDER + "a.csv").modified_ms
    assert (churn(1).rows, churn(1).first_ms, churn(1).last_ms) == (2, written_ms, written_ms)


def test_the_same_file_told_of_again_or_dropped_again_changes_nothing(
    drop: Callable[[str, bytes], None], notice: Callable[..., None], cloud: Any, now_ms: int
) -> None:
    data = table([(now_ms - n * HOUR_MS, n, "a") for n in range(25)]) + b"x\n"
    drop(FOLDER + "a.csv", data)
    before = {key: cloud.bucket.read(key) for key in cloud.bucket.keys("")}
    cloud.faults.reset()

    notice(FOLDER + "a.csv")
    writes = cloud.faults.writes
    drop(FOLDER + "a.csv", data)

    assert {key: cloud.bucket.read(key) for key in cloud.bucket.keys("")} == before
    assert writes == []


def test_other_content_under_the_same_name_is_another_file(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], now_ms: int
) -> None:
    drop(FOLDER + "daily.csv", table([(now_ms - 30 * HOUR_MS, 1, "a")]))
    drop(FOLDER + "daily.csv", table([(now_ms - 3 * HOUR_MS, 2, "a")]))

    assert (churn().rows, churn(24).rows) == (2, 1)


def test_rows_that_cannot_be_read_are_told_line_by_line_beside_the_file_and_the_others_count(
    drop: Callable[[str, bytes], None],
    churn: Callable[..., Profile],
    cloud: Any,
    now_ms: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = [(now_ms - HOUR_MS, n, "a") for n in range(12)]
    bad = f"soon,1,a\n{now_ms // 1000},1,a\n{now_ms + 48 * HOUR_MS},1,a\n{now_ms},old secret,a\n{now_ms},1\n"

    drop(FOLDER + "a.csv", table(good) + bad.encode() + table(good[:1]).split(b"\n", 1)[1])

    early = "the row's time: want one after 2000 and not after the file's (unix_ms is in milliseconds)"
    assert faults(cloud, FOLDER + "a.csv") == [
        (14, "unix_ms: want whole milliseconds since 1970", "soon,1,a"),
        (15, early, f"{now_ms // 1000},1,a"),
        (16, early, f"{now_ms + 48 * HOUR_MS},1,a"),
        (17, "column 'age': want a number, as in the rows before", f"{now_ms},old secret,a"),
        (18, "2 values: want 3, as the header has", f"{now_ms},1"),
    ]
    assert churn().rows == 13
    told = [vars(record) for record in caplog.records]
    assert (told[-1]["rows"], told[-1]["refused_rows"], told[-1]["is_done"]) == (13, 5, True)
    assert "secret" not in str(told)


REFUSED = {
    f"{FOLDER}a.parquet": (b"PAR1", "Parquet is not read here"),
    f"{FOLDER}a.txt": (b"a\n1\n", "the name does not tell a format"),
    f"{FOLDER}a.csv": (b"", "the file is empty"),
    f"{FOLDER}a.csv.gz": (b"a\n1\n", "the file is not gzipped"),
    "inbox/traffic/churn.csv": (b"a\n1\n", "want inbox/traffic/<model>/<version>/<file>"),
    "inbox/traffic/Churn/1/a.csv": (b"a\n1\n", "want inbox/traffic/<model>/<version>/<file>"),
    "inbox/traffic/triage/9/a.csv": (b"a\n1\n", "triage is served here and has no version 9"),
    "inbox/traffic/triage/1/reference.csv": (b"a\n1\n", "this version came with its reference"),
    f"{FOLDER}reference.csv": (b"a\n", "no row of the file can be read"),
    f"{FOLDER}wide.jsonl": (
        json.dumps({f"key{n}": 1 for n in range(2_001)}).encode(),
        "more than 2000 columns",
    ),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_file_that_cannot_be_read_is_refused_beside_it_and_not_tried_again(
    key: str, drop: Callable[[str, bytes], None], cloud: Any
) -> None:
    data, reason = REFUSED[key]

    drop(key, data)

    ((_, told, _),) = faults(cloud, key)
    assert told.startswith(reason)
    assert [
        each for each in cloud.bucket.keys("profiles/") if each.endswith(".json") and "reference/" not in each
    ] == []
    assert cloud.messages("inbox") == []


@LARGE
def test_a_file_that_is_damaged_at_its_end_counts_up_to_there_and_says_where_it_ended(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], cloud: Any, now_ms: int
) -> None:
    packed = gzip.compress(table([(now_ms - HOUR_MS, n, "a") for n in range(60_000)]), 1)

    drop(FOLDER + "a.csv.gz", packed[:-2_000])

    ((line, reason, _),) = faults(cloud, FOLDER + "a.csv.gz")
    assert reason == "the gzipped file ends too early: upload it again, whole"
    assert churn().rows == line - 2 > 20_000


def test_a_message_that_is_no_event_of_a_file_is_given_up_by_the_queue(
    inbox: ModuleType, batch_of: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(KeyError):
        inbox.handler(batch_of({"detail-type": "Object Created"}), Clock(9))


def test_what_is_written_beside_a_file_is_no_file_of_the_inbox(notice: Callable[..., None], cloud: Any) -> None:
    cloud.faults.reset()

    notice(FOLDER + "a.csv.errors/000000000002.jsonl")
    notice(FOLDER)

    assert cloud.faults.calls == []


def test_a_file_that_is_gone_when_its_event_comes_is_no_fault(notice: Callable[..., None], cloud: Any) -> None:
    notice(FOLDER + "a.csv")

    assert list(cloud.bucket.keys("profiles/")) == []


def test_a_file_that_takes_longer_than_an_invocation_goes_on_in_the_next_ones(
    notice: Callable[..., None], churn: Callable[..., Profile], cloud: Any, now_ms: int
) -> None:
    cloud.bucket.write(FOLDER + "a.csv", table([(now_ms - HOUR_MS, n, "a") for n in range(35)]))
    seen: list[int] = []
    waiting = [FOLDER + "a.csv"]
    while waiting:
        notice(waiting.pop(), chunks=1)
        seen.append(churn().rows)
        waiting += [message["detail"]["object"]["key"] for message in cloud.messages("inbox")]

    assert seen == [10, 20, 30, 35, 35]  # the last finds the end
    assert churn().columns["age"].maximum == 34.0


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_crash_before_any_call_loses_no_row_and_doubles_none(
    ending: str, notice: Callable[..., None], churn: Callable[..., Profile], cloud: Any, now_ms: int
) -> None:
    plain = table([(now_ms - (1 + n % 2) * HOUR_MS, n, "a") for n in range(15)]) + b"x\n"
    for number in range(1, 100):
        key = f"inbox/traffic/churn/{number}/a.{ending}"
        cloud.bucket.write(key, gzip.compress(plain) if ending.endswith("gz") else plain)
        cloud.faults.die_at(number)
        try:
            notice(key)
            break
        except cloud.faults.Died:
            cloud.faults.reset()
        notice(key)
        assert churn(version=str(number)).rows == 15, number
        assert [line for line, *_ in faults(cloud, key)] == [17], number
    # the columns' kinds; of each chunk the newest row, two hours, that the older one came late, and the place;
    # the fault; the end; and none was left
    assert number == 1 + 2 * 5 + 1 + 1 + 1
    assert list(cloud.registry.late_days("churn", str(number))) == [day_of(now_ms - 2 * HOUR_MS)]
    cloud.faults.reset()
    assert churn(version=str(number)).rows == 15


def test_two_workers_at_the_same_file_count_it_once(
    inbox: ModuleType, notice: Callable[..., None], churn: Callable[..., Profile], cloud: Any, now_ms: int
) -> None:
    key = FOLDER + "a.csv"
    cloud.bucket.write(key, table([(now_ms - HOUR_MS, n, "a") for n in range(35)]))
    others: list[str] = []

    def overtake() -> bool:
        if not others:
            others.append(key)
            notice(key)
        return True

    with pytest.raises(Conflict):
        inbox.queue.take(key, overtake)
    notice(key)

    assert churn().rows == 35


def test_an_object_that_was_replaced_is_not_read_on_as_if_it_were_the_same(cloud: Any) -> None:
    cloud.bucket.write(FOLDER + "a.csv", b"a\n1\n")
    facts = cloud.bucket.facts(FOLDER + "a.csv")
    assert cloud.bucket.stream(FOLDER + "a.csv", facts, 2).read() == b"1\n"
    cloud.bucket.write(FOLDER + "a.csv", b"a\n2\n")

    with pytest.raises(Conflict, match="was replaced while it was read"):
        cloud.bucket.stream(FOLDER + "a.csv", facts, 2)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-50, 50), st.sampled_from("ab")), min_size=12, max_size=40),
    st.lists(st.integers(1, 12), max_size=4),
    st.lists(st.integers(1, 3), max_size=4),
    st.booleans(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_often_and_wherever_it_dies_a_file_comes_to_the_same_profile(
    notice: Callable[..., None],
    churn: Callable[..., Profile],
    cloud: Any,
    now_ms: int,
    rows: list[tuple[int, int, str]],
    deaths: list[int],
    pauses: list[int],
    is_packed: bool,
) -> None:
    placed = [(now_ms - (1 + hours) * HOUR_MS, age, label) for hours, age, label in rows]
    plain = table(placed)
    name = f"{len(list(cloud.bucket.keys(FOLDER)))}.csv{'.gz' if is_packed else ''}"
    before = churn()
    cloud.bucket.write(FOLDER + name, gzip.compress(plain) if is_packed else plain)

    for death in deaths:
        cloud.faults.die_at(death)
        try:
            notice(FOLDER + name)
        except cloud.faults.Died:
            pass
        finally:
            cloud.faults.reset()
    for pause in pauses:
        notice(FOLDER + name, chunks=pause)
    notice(FOLDER + name)

    columns = {"age": [float(age) for _, age, _ in placed], "label": [label for *_, label in placed]}
    before.update(columns, min(at for at, *_ in placed), max(at for at, *_ in placed))
    assert churn().to_json() == before.to_json()


def test_files_in_another_order_come_to_the_same_profile(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], now_ms: int
) -> None:
    files = [table([(now_ms - (n + m) * HOUR_MS, n * m, "ab"[m % 2]) for m in range(15)]) for n in range(4)]
    for number, data in enumerate(files):
        drop(f"inbox/traffic/churn/1/{number}.csv", data)
    for number, data in reversed(list(enumerate(files))):
        drop(f"inbox/traffic/churn/2/{number}.csv", data)

    assert churn(version="1").to_json() == churn(version="2").to_json()
    assert churn(version="1").rows == 60


def test_a_column_of_numbers_stays_one_in_every_later_chunk_and_file(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], cloud: Any
) -> None:
    drop(FOLDER + "a.jsonl", b'{"code": 1, "zip": "A1", "empty": null}\n{"code": 2, "zip": "7", "empty": ""}\n')
    drop(FOLDER + "b.csv", b"code,zip,empty\n3,77,x\n,78,\nfour,79,y\n")

    whole = churn()
    assert (whole.rows, whole.columns["code"].maximum, whole.columns["code"].missing) == (4, 3.0, 1)
    assert whole.columns["zip"].counts == {"A1": 1, "7": 1, "77": 1, "78": 1}
    assert whole.columns["empty"].counts == {"x": 1}
    assert [line for line, *_ in faults(cloud, FOLDER + "b.csv")] == [4]


def test_two_files_that_bring_new_columns_at_once_agree_on_what_they_hold(inbox: ModuleType, cloud: Any) -> None:
    class Overtaken(Registry):
        """Another file says its word between this one's look and its own."""

        def column_kinds(self, model: str, version: str) -> dict[str, str]:
            known = super().column_kinds(model, version)
            if not known:
                cloud.registry.settle_columns(model, version, {"a": "name", "b": "number"})
            return known

    found = Overtaken(cloud.state, cloud.bucket).settle_columns("churn", "7", {"a": "number", "c": "name"})

    assert found == {"a": "name", "b": "number", "c": "name"} == cloud.registry.column_kinds("churn", "7")


def test_traffic_of_a_model_served_here_is_profiled_as_its_reference_is(
    drop: Callable[[str, bytes], None], churn: Callable[..., Profile], cloud: Any
) -> None:
    drop("inbox/traffic/triage/1/offline.csv", b"label,confidence,tokens,note\nbilling,0.8,2,x\nother,0.7,many,y\n")

    reference = cloud.registry.reference("triage", "1")
    recent = Profile.like(reference, is_open=True)
    recent.merge(churn(model="triage", version="1"))
    assert (recent.rows, recent.columns["label"].counts, recent.columns["note"].counts) == (1, {"billing": 1}, {"x": 1})
    assert cloud.registry.elsewhere("triage") is None
    assert [line for line, *_ in faults(cloud, "inbox/traffic/triage/1/offline.csv")] == [3]


@pytest.fixture
def checked(
    start: Callable[[str], ModuleType], event: Callable[[str], dict[str, Any]], context: Any
) -> Callable[[], dict[str, Any]]:
    """A scheduled check: its reports by model."""

    def check() -> dict[str, Any]:
        reports = start("drift.check").handler(event("scheduled_event"), context)["reports"]
        return {report["model"]: report for report in reports}

    return check


def ages(now_ms: int, count: int, shift: float, hours_ago: float = 2) -> bytes:
    at = now_ms - round(hours_ago * HOUR_MS)
    return table([(at + n, n % 40 + shift, "ab"[n % 2]) for n in range(count)])


@LARGE
def test_a_model_served_elsewhere_is_learned_then_judged_and_its_drift_is_announced(
    drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], cloud: Any, now_ms: int
) -> None:
    drop(FOLDER + "first.csv", ages(now_ms, 1_000, 0))
    first, second = checked()["churn"], checked()["churn"]
    drop(FOLDER + "next.csv", ages(now_ms, 9_000, 30))
    third = checked()["churn"]

    assert (first["status"], first["rows"], first["version"]) == ("learning", 1_000, "7")
    assert (second["status"], second["reference_rows"]) == ("stable", 1_000)
    assert (third["status"], third["drifted"], third["rows"]) == ("drifted", ["age"], 10_000)
    (announced,) = cloud.announced()
    assert (announced["type"], announced["subject"]) == ("DriftDetected", "churn")
    assert cloud.bucket.has(f"reports/churn/7/{third['until']}.html")


@LARGE
@pytest.mark.parametrize("name", ["reference.csv", "reference.jsonl.gz"])
def test_a_person_may_give_the_reference_as_a_file(
    name: str, drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], cloud: Any, now_ms: int
) -> None:
    drop(FOLDER + "today.csv", ages(now_ms, 200, 0))
    rows = [{"age": n % 40 + 30, "label": "ab"[n % 2]} for n in range(400)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = "age,label\n" + "".join(f"{row['age']},{row['label']}\n" for row in rows)

    drop(FOLDER + name, text.encode() if name.endswith("csv") else gzip.compress(lines))

    report = checked()["churn"]
    assert (report["status"], report["drifted"], report["reference_rows"]) == ("drifted", ["age"], 400)
    assert report["rows"] == 200


def test_a_dropped_reference_with_what_was_right_teaches_how_right_confidences_are(
    drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], cloud: Any, now_ms: int
) -> None:
    """Of answers of confidence 0.9 six in ten are right, of those of 0.6 two in ten; labels come up chunk by chunk."""
    rows = [(0.9, "ab"[n % 2], "ab"[n % 2] if n % 10 < 6 else "c") for n in range(200)]
    rows += [(0.6, "b", "b" if n % 10 < 2 else "d") for n in range(200)]
    today = "".join(f"{now_ms - 60_000 * n},b,0.6\n" for n in range(200))
    drop(FOLDER + "today.csv", f"unix_ms,label,confidence\n{today}".encode())

    drop(FOLDER + "reference.csv", csv("confidence,label,target", rows))

    report = checked()["churn"]
    kept = json.loads(cloud.bucket.read("profiles/churn/7/calibration.json"))
    assert (kept["labels"], sum(kept["seen"]), sum(kept["right"])) == (["a", "b", "c", "d"], 400, 160)
    assert report["estimate"] == pytest.approx(
        {"accuracy": 0.2, "low": 0.0727, "high": 0.3273, "reference": 0.4, "is_calibrated": True, "has_fallen": True},
        abs=0.001,
    )
    assert "target" not in [column["column"] for column in report["columns"]]
    assert report["findings"] == []


@LARGE
def test_a_dropped_reference_of_a_regression_teaches_the_error_to_expect(
    drop: Callable[[str, bytes], None],
    checked: Callable[[], dict[str, Any]],
    now_ms: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [(n % 40, 100.5 + n % 7, 100.5 + n % 7 + (1 if n % 40 < 20 else 5)) for n in range(400)]
    today = "".join(f"{now_ms - 60_000 * n},{20 + n % 20},{100.5 + n % 7}\n" for n in range(200))
    drop(FOLDER + "today.csv", f"unix_ms,age,label\n{today}".encode())

    drop(FOLDER + "reference.csv", csv("age,label,target", rows))

    report = checked()["churn"]
    assert report["error"]["has_risen"] and report["cure"]["action"] == "full_retrain"
    assert (report["error"]["reference"], report["error"]["error"]) == pytest.approx((3, 5), abs=1.2)
    assert "estimated error rises" in report["sentence"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"EstimatedError":' in line]
    assert [(line["model"], line["EstimatedError"]) for line in lines] == [("churn", [report["error"]["error"]])]


@LARGE
def test_another_reference_without_what_was_right_takes_the_place_of_what_the_first_one_taught(
    drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], now_ms: int
) -> None:
    today = "".join(f"{now_ms - 60_000 * n},{n % 40},{n}.5\n" for n in range(200))
    drop(FOLDER + "today.csv", f"unix_ms,age,label\n{today}".encode())
    drop(FOLDER + "reference.csv", csv("age,label,target", [(n % 40, n + 0.5, n) for n in range(400)]))
    taught = checked()["churn"]["error"]
    drop(FOLDER + "reference.csv", csv("age,label", [(n % 40, n + 0.5) for n in range(400)]))

    assert (taught["reference"], checked()["churn"]["error"]) == (0.5, None)


def test_later_traffic_is_counted_on_the_axes_of_the_reference_that_a_person_gave(
    drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], now_ms: int
) -> None:
    """Age and size rise together in the reference, whose chunks are many; today one falls as the other rises."""
    drop(FOLDER + "reference.csv", csv("age,size", [(n % 40, n % 40 + n % 3) for n in range(400)]))
    today = "".join(f"{now_ms - 60_000 * n},{n % 40},{39 - n % 40 + n % 3}\n" for n in range(200))
    drop(FOLDER + "today.csv", f"unix_ms,age,size\n{today}".encode())

    report = checked()["churn"]

    assert (report["status"], report["drifted"]) == ("drifted", ["columns together"])
    assert "correlation of age and size moved" in report["sentence"]


@LARGE
def test_the_version_of_the_newest_row_is_the_one_that_is_checked(
    drop: Callable[[str, bytes], None], checked: Callable[[], dict[str, Any]], now_ms: int
) -> None:
    drop("inbox/traffic/churn/2/a.csv", ages(now_ms, 120, 0, hours_ago=3))
    drop("inbox/traffic/churn/1/backfill.csv", ages(now_ms, 150, 0, hours_ago=9))

    assert (checked()["churn"]["version"], checked()["churn"]["rows"]) == ("2", 120)


@LARGE
def test_a_check_by_hand_of_a_model_served_elsewhere_and_a_window(
    drop: Callable[[str, bytes], None], start: Callable[[str], ModuleType], context: Any, now_ms: int
) -> None:
    drop(FOLDER + "a.csv", ages(now_ms, 120, 0, hours_ago=50))
    window = {"since": isoformat(now_ms - 51 * HOUR_MS), "until": isoformat(now_ms - 48 * HOUR_MS)}

    (report,) = start("drift.check").handler({"model": "churn", **window}, context)["reports"]

    assert (report["model"], report["rows"], report["status"]) == ("churn", 120, "learning")
