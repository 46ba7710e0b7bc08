"""What a page puts away, with a network and without: it arrives whole, once, and the loop takes it."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.functional.browser import Tab
from tests.functional.edge_models import MODEL, seal_classifier, sign
from tests.functional.edge_pages import READY, ask
from tests.functional.posts import LOST, Posts, posts
from tests.functional.static import Host, host

from artifacts.signing import KeyFile
from devices.grant import fragment, passes
from devices.page import write_page
from devices.source import Source
from pawl.bundle import Bundle
from pawl.identity import isoformat

WAITING = "document.querySelector('#waiting').textContent"
SENT = "document.querySelector('#sent').textContent"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("key") / "key.pem"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, signer: Path) -> Bundle:
    made = seal_classifier(tmp_path_factory.mktemp("bundle") / "1")
    sign(made.path, signer)
    return made


@pytest.fixture(scope="module")
def bucket() -> Iterator[Posts]:
    with posts() as made:
        yield made


@pytest.fixture(scope="module")
def site(bundle: Bundle, signer: Path, bucket: Posts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("page")
    write_page(Source(bundle, KeyFile(signer).trusted), folder, bucket.address)
    with host(folder) as served:
        yield served


@pytest.fixture
def inbox(bucket: Posts) -> Iterator[Posts]:
    """The bucket, empty, and up again afterwards."""
    bucket.files.clear()
    bucket.posted.clear()
    bucket.failing.clear()
    yield bucket
    bucket.stop()
    bucket.start()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Tab]:
    made = Tab(chromium)
    yield made
    made.open("about:blank")  # or it would go on sending


@pytest.fixture
def link(site: Host, inbox: Posts, cloud: Any, now_ms: int) -> Callable[..., str]:
    """The page's address with a permission to send, good for some days, to this test's bucket."""

    def make(days: float = 1.0) -> str:
        granted = passes(boto3.client("s3"), "pawl-data", MODEL, abs(days))
        for each in granted:
            object.__setattr__(each, "url", f"{inbox.address}/")
        if days < 0:  # one that was given long ago
            past = isoformat(now_ms + round(days * 86_400_000))
            for each in granted:
                each.fields["policy"] = _expiring(each.fields["policy"], past)
        return site.address + fragment(granted, now_ms, days)

    return make


def _expiring(policy: str, at: str) -> str:
    told = json.loads(base64.b64decode(policy))
    return base64.b64encode(json.dumps({**told, "expiration": at}).encode()).decode()


def visit(tab: Tab, address: str) -> None:
    tab.open("about:blank")  # an address that differs behind its # alone would load nothing
    tab.open(address)
    tab.wait(READY)


def say(tab: Tab, label: str) -> None:
    tab.see(f"document.querySelector('#label').value = {json.dumps(label)}")
    tab.see("document.querySelector('#judge').requestSubmit()")
    tab.wait("document.querySelector('#thanks').textContent.startsWith('Thank you')")


def rows(posted: Posts, folder: str) -> list[Any]:
    found = [data for name, data in sorted(posted.files.items()) if name.startswith(folder)]
    return [json.loads(line) for data in found for line in data.splitlines()]


def test_what_was_put_away_offline_arrives_when_there_is_a_network_again(
    tab: Tab, inbox: Posts, link: Callable[..., str]
) -> None:
    inbox.stop()
    visit(tab, link())
    assert tab.see("location.hash") == ""  # nobody who looks at the address sees the permission
    given = ask(tab, "my parcel is late")
    ask(tab, "where is my refund")
    other = "login" if tab.see("document.querySelector('#said').textContent") != "login" else "billing"
    say(tab, other)
    tab.wait(f"{WAITING} === '1 count and 1 judgement wait.'")
    tab.wait(f"{SENT}.startsWith('Not sent, and kept')")

    inbox.start()
    tab.see("dispatchEvent(new Event('online'))")
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")
    (count,) = rows(inbox, f"inbox/traffic/{MODEL}/1/device-")
    (judgement,) = rows(inbox, "inbox/feedback/device-")
    assert (count["label"], count["characters"], count["script"]) == (given, 17, "latin")
    assert (judgement["metric_name"], judgement["value"]) == ("label", other)
    assert judgement["answer"]["text"] == "where is my refund"


def test_no_text_leaves_the_device_unless_it_is_judged(tab: Tab, inbox: Posts, link: Callable[..., str]) -> None:
    visit(tab, link())
    ask(tab, "my secret is tulip")
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{SENT} === 'All of it has been sent.'")
    assert len(rows(inbox, "inbox/traffic/")) == 1
    assert all(b"tulip" not in data for data in inbox.files.values())
    assert rows(inbox, "inbox/feedback/") == []


def test_nothing_is_counted_where_that_is_not_wanted(tab: Tab, inbox: Posts, link: Callable[..., str]) -> None:
    visit(tab, link())
    tab.see("document.querySelector('#counts').click()")
    ask(tab, "my parcel is late")
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")
    visit(tab, link())
    assert tab.see("document.querySelector('#counts').checked") is False  # it is remembered


def test_what_waits_survives_the_page_and_the_host(
    tab: Tab, site: Host, inbox: Posts, link: Callable[..., str]
) -> None:
    inbox.stop()
    visit(tab, link())
    tab.wait("navigator.serviceWorker.controller !== null")
    ask(tab, "my parcel is late")
    site.stop()
    try:
        visit(tab, site.address)  # from what the browser has kept, without the permission in the address
        tab.wait(f"{WAITING} === '1 count and 0 judgements wait.'")
        inbox.start()
        tab.see("document.querySelector('#send').click()")
        tab.wait(f"{SENT} === 'All of it has been sent.'")
    finally:
        site.start()
    assert len(rows(inbox, "inbox/traffic/")) == 1


def test_a_file_whose_answer_got_lost_is_sent_again_under_the_same_name(
    tab: Tab, inbox: Posts, link: Callable[..., str]
) -> None:
    visit(tab, link())
    ask(tab, "my parcel is late")
    inbox.failing[:] = [LOST, 503]
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{SENT}.startsWith('Not sent, and kept')")
    ask(tab, "and another")  # goes into a file of its own, never into one that has been on its way
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.' || {WAITING}.startsWith('1 count')")
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")

    names = sorted(inbox.files)
    assert [name[-15:] for name in names] == ["000000001.jsonl", "000000002.jsonl"]
    assert inbox.posted.count(names[0]) == 3
    assert len(rows(inbox, "inbox/traffic/")) == 2


def test_it_tries_again_by_itself(tab: Tab, inbox: Posts, link: Callable[..., str]) -> None:
    visit(tab, link())
    ask(tab, "my parcel is late")
    inbox.failing[:] = [500]
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{SENT} === 'All of it has been sent.'")
    assert len(inbox.posted) == 2
    assert inbox.posted[0] == inbox.posted[1]


def test_a_permission_that_has_ended_is_said_and_nothing_is_lost(
    tab: Tab, inbox: Posts, link: Callable[..., str]
) -> None:
    visit(tab, link(days=-1))
    ask(tab, "my parcel is late")
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{SENT}.includes('the permission to send has expired: ask for a new link')")
    tab.wait(f"{WAITING} === '1 count and 0 judgements wait.'")

    visit(tab, link())
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")
    assert len(rows(inbox, "inbox/traffic/")) == 1


def test_a_permission_for_another_model_sends_nothing(
    tab: Tab, site: Host, inbox: Posts, cloud: Any, now_ms: int
) -> None:
    granted = passes(boto3.client("s3"), "pawl-data", "other", 1)
    visit(tab, site.address + fragment(granted, now_ms, 1))
    ask(tab, "my parcel is late")
    tab.see("document.querySelector('#send').click()")
    tab.wait(f"{SENT}.includes('the permission to send is not for inbox/traffic/triage/1/')")
    assert inbox.posted == []


def test_two_windows_send_a_file_once(tab: Tab, inbox: Posts, link: Callable[..., str]) -> None:
    visit(tab, link())
    for text in ("one", "two", "three"):
        ask(tab, text)
    tab.see("Promise.all(Array.from({length: 5}, () => document.querySelector('#send').click()))")
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")
    assert len(inbox.posted) == 1


def test_a_device_without_a_network_saves_the_same_files_by_hand(
    tab: Tab, site: Host, inbox: Posts, tmp_path: Path
) -> None:
    visit(tab, site.address)
    ask(tab, "my parcel is late")
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), browserContextId=tab.context)
    tab.see("document.querySelector('#save').click()")
    tab.wait("!document.querySelector('#drop').hidden")
    tab.see("document.querySelector('#drop').click()")
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")
    tab.see("new Promise(done => setTimeout(done, 300))")

    (saved,) = tmp_path.glob("*.jsonl")
    assert saved.name.startswith("inbox--traffic--triage--1--device-")
    assert json.loads(saved.read_text())["characters"] == 17


def test_the_loop_takes_what_a_device_has_sent(
    tab: Tab,
    inbox: Posts,
    link: Callable[..., str],
    cloud: Any,
    bundle: Bundle,
    dataset: Any,
    start: Any,
    batch_of: Any,
    now_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counts become a profile that merges with the reference; a judgement becomes feedback on a captured answer."""
    visit(tab, link())
    for text in ("my parcel is late", "naïve café 中文", "what?"):
        ask(tab, text)
    say(tab, tab.see("document.querySelector('#label').value"))
    tab.wait(f"{WAITING} === 'Nothing waits to be sent.'")

    cloud.seed(bundle, dataset)
    monkeypatch.setenv("INBOX_QUEUE_URL", boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"])
    for name, data in inbox.files.items():
        cloud.bucket.write(name, data)
        handler = start("drift.inbox" if name.startswith("inbox/traffic/") else "feedback.inbox").handler
        handler(batch_of({"detail": {"object": {"key": name}}}), Clock())
    start("drift.collect").handler(batch_of(*cloud.messages("capture")), Clock())

    assert [key for key in cloud.bucket.keys("inbox/") if ".errors/" in key] == []
    profiles = list(cloud.traffic.profiles(MODEL, "1", now_ms - 3_600_000, now_ms + 3_600_000))
    assert sum(profile.rows for profile in profiles) == 3
    reference = cloud.registry.reference(MODEL, "1")
    assert all(profile.columns.keys() == reference.columns.keys() for profile in profiles)
    (record,) = cloud.traffic.records(MODEL, "1", now_ms - 3_600_000, now_ms + 3_600_000)
    assert record.inputs == {"text": ["what?"]}
    (piece,) = [item for item in cloud.feedback_items.scan()["Items"] if "metric" in item]
    assert piece["inference_id"] == record.inference_id


class Clock:
    """A Lambda context with time enough."""

    aws_request_id = "8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"

    def get_remaining_time_in_millis(self) -> int:
        return 600_000
