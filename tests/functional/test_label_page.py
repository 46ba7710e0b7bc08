"""The labelling page in a real browser against the real handler: by keyboard, by finger and by ear."""

import json
import struct
from collections.abc import Callable, Iterator
from itertools import combinations
from types import ModuleType
from typing import Any

import pytest
from tests.functional.browser import Tab
from tests.functional.gateway import routes_of_template, serve

from pawl.compared import pair_of
from pawl.receipt import ReceiptKeys

PHONE, DESKTOP = (390, 844), (1280, 800)
KEY = "k3y0fACl13ntTh4tM4yAsk"
HOSTILE = "<img src=x onerror=\"window.caught='img'\"><script>window.caught='script'</script>{{7*7}}"


class Front:
    """The handler behind a gateway that knows one API key, and that fails when it is told to."""

    def __init__(self, handler: Callable[..., dict[str, Any]]) -> None:
        self._handler = handler
        self.failing: list[int] = []
        self.requests: list[tuple[str, str]] = []

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self.requests.append((event["httpMethod"], event["path"]))
        headers = {name.lower(): value for name, value in event["headers"].items()}
        if event["resource"] != "/label" and headers.get("x-api-key") != KEY:
            return {"statusCode": 403, "body": '{"error":"Forbidden"}'}
        if self.failing and event["httpMethod"] == "POST":
            return {"statusCode": self.failing.pop(0), "body": '{"error":"told to fail"}'}
        return self._handler(event, context)


@pytest.fixture
def tab(chromium: Any) -> Tab:
    return Tab(chromium)


@pytest.fixture
def front(start: Callable[[str], ModuleType]) -> Front:
    return Front(start("feedback.app").handler)


@pytest.fixture
def address(front: Front, context: Any) -> Iterator[str]:
    with serve(front, routes_of_template("FeedbackFunction"), context) as place:
        yield f"http://{place}/label?model=assistant"


@pytest.fixture
def put(cloud: Any, keys: ReceiptKeys, now_ms: int) -> Callable[..., None]:
    """Stores all pairs of answers to each prompt, which begin with it, one answer for each of the words."""

    def write(*prompts: str, words: tuple[str, ...] = ("well said", "badly said")) -> None:
        rows: list[Any] = []
        for place, prompt in enumerate(prompts):
            signed = [
                keys.sign(
                    model="assistant",
                    model_version="1",
                    function_version="1",
                    rows=1,
                    payload=prompt.encode(),
                    unix_ms=now_ms,
                    random=bytes([place * len(words) + number] * 10),
                )
                for number in range(len(words))
            ]
            answers = [
                {"text": f"{prompt}: {word}", "inference_id": id} for word, id in zip(words, signed, strict=True)
            ]
            rows += [{"prompt": prompt, "answers": pair} for pair in combinations(answers, 2)]
        cloud.bucket.write("pairs/assistant/some.jsonl", "\n".join(map(json.dumps, rows)).encode())

    return write


@pytest.fixture
def stored(cloud: Any) -> Callable[[str], list[dict[str, Any]]]:
    def of(metric: str) -> list[dict[str, Any]]:
        return [item for item in cloud.feedback_items.scan()["Items"] if item.get("metric") == metric]

    return of


@pytest.fixture
def texts(cloud: Any) -> Callable[[], dict[str, str]]:
    """The text of each answer by its inference_id."""

    def read() -> dict[str, str]:
        lines = cloud.bucket.read("pairs/assistant/some.jsonl").decode().splitlines()
        return {each["inference_id"]: each["text"] for line in lines for each in json.loads(line)["answers"]}

    return read


def sign_in(tab: Tab, address: str, screen: tuple[int, int] = DESKTOP, **more: Any) -> None:
    """As a person without a mouse does it."""
    tab.open(address, *screen, **more)
    assert tab.see("document.activeElement.id") == "key"
    tab.type(KEY)
    tab.press("Tab")
    tab.type("Ada")
    assert tab.see("document.querySelector('#model').value") == "assistant"
    tab.press("Enter")


def wait_for_pair(tab: Tab, progress: str) -> None:
    tab.wait(f"!document.querySelector('#pair').hidden && document.body.innerText.includes('{progress}')")


def shown(tab: Tab) -> tuple[str, str]:
    return tab.see("[1, 2].map(n => document.querySelector('#answer' + n).textContent)")


def wait_until(tab: Tab, front: Front, posts: int) -> None:
    """Until so many labels have arrived, and been answered: the page's next request comes after."""
    tab.wait("outbox.length === 0 && !is_sending")
    assert [path for verb, path in front.requests if verb == "POST"] == ["/feedback"] * posts


def test_pairs_are_labelled_by_keyboard_alone(
    tab: Tab, front: Front, address: str, put: Any, stored: Any, texts: Any
) -> None:
    put("a", "b", "c")
    sign_in(tab, address)
    wanted: dict[str, Any] = {}
    for done, key in enumerate("120"):
        wait_for_pair(tab, f"{done} of 3 labelled")
        wanted[tab.see("document.querySelector('#prompt').textContent")] = (key, shown(tab))
        assert tab.see("document.activeElement.id") == "question"
        tab.press(key)
    tab.wait("document.body.innerText.includes('No pair is left for you')")
    wait_until(tab, front, 3)

    for item in stored("preference"):
        value, told = item["value"], texts()
        ids = value.get("tie") or [value["chosen"], value["rejected"]]
        key, (left, right) = wanted[told[ids[0]].partition(":")[0]]
        assert [told[each] for each in ids] == ([right, left] if key == "2" else [left, right])
        assert ("tie" in value) == (key == "0")
        assert (item["rater"], item["tags"]["position"]) == ("Ada", {"1": "first", "2": "second", "0": "tie"}[key])
    assert len(stored("preference")) == 3
    assert "3 of 3 labelled" in tab.see("document.body.innerText")


def test_undo_brings_the_pair_back_and_the_later_word_counts(
    tab: Tab, front: Front, address: str, put: Any, stored: Any, texts: Any
) -> None:
    put("a", "b")
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 2 labelled")
    before = shown(tab)
    tab.press("1")
    wait_for_pair(tab, "1 of 2 labelled")
    tab.press("u")

    assert shown(tab) == before
    assert "you said answer 1 is better" in tab.see("document.querySelector('[role=status]').textContent")
    assert tab.see("document.querySelector('[data-choice=\"1\"]').getAttribute('aria-pressed')") == "true"
    tab.press("2")
    wait_for_pair(tab, "1 of 2 labelled")
    wait_until(tab, front, 2)

    (item,) = stored("preference")
    assert texts()[item["value"]["chosen"]] == before[1]


def test_the_very_last_choice_can_be_undone_too(tab: Tab, front: Front, address: str, put: Any, stored: Any) -> None:
    put("a")
    sign_in(tab, address)
    for way in ('document.querySelector("#back button").click()', None):
        wait_for_pair(tab, " of 1 labelled")
        tab.press("0")
        tab.wait("document.body.innerText.includes('No pair is left for you')")
        tab.see(way) if way else tab.press("u")
    wait_for_pair(tab, "1 of 1 labelled")
    tab.press("1")
    wait_until(tab, front, 3)

    (item,) = stored("preference")
    assert "chosen" in item["value"]


def test_a_reason_is_kept_as_a_comment_and_typing_it_chooses_nothing(
    tab: Tab, front: Front, address: str, put: Any, stored: Any
) -> None:
    put("a")
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 1 labelled")
    tab.see("document.querySelector('#reason').focus()")
    tab.press("1", "0", "u")
    assert stored("preference") == []
    tab.press("Escape", "2")
    tab.wait("document.body.innerText.includes('No pair is left for you')")
    wait_until(tab, front, 2)

    (comment,), (preference,) = stored("comment"), stored("preference")
    assert (comment["value"], comment["rater"]) == ("10u", "Ada")
    assert comment["sk"].partition("#")[0] == preference["sk"].partition("#")[0]
    assert comment["tags"]["pair"] == pair_of(preference["sk"])


def test_each_pair_of_three_answers_keeps_its_reason_and_a_reason_given_anew_takes_the_place_of_the_first(
    tab: Tab, front: Front, address: str, put: Any, stored: Any
) -> None:
    put("a", words=("one", "two", "three"))
    sign_in(tab, address)
    for done, reason in enumerate(("first", "next", "last")):
        wait_for_pair(tab, f"{done} of 3 labelled")
        tab.see(f"document.querySelector('#reason').value = '{reason}'")
        tab.press("1")
    tab.wait("document.body.innerText.includes('No pair is left for you')")
    tab.press("u")
    wait_for_pair(tab, "3 of 3 labelled")
    assert tab.see("document.querySelector('#reason').value") == "last"
    tab.see("document.querySelector('#reason').value = 'rather'")
    tab.press("2")
    wait_until(tab, front, 8)

    comments = {item["tags"]["pair"]: item for item in stored("comment")}
    preferences = {pair_of(item["sk"]): item for item in stored("preference")}
    assert sorted(item["value"] for item in comments.values()) == ["first", "next", "rather"]
    assert {pair: item["tags"]["position"] for pair, item in comments.items()} == {
        pair: item["tags"]["position"] for pair, item in preferences.items()
    }


def test_single_keys_can_be_turned_off(tab: Tab, address: str, put: Any, front: Front) -> None:
    """WCAG 2.1.4: who speaks to the machine says 1 and 2 often."""
    put("a", "b")
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 2 labelled")
    tab.see("document.querySelector('#keys').click()")
    tab.press("1", "2", "0")

    assert "0 of 2 labelled" in tab.see("document.body.innerText")


def test_what_a_model_has_answered_is_text_and_stays_text(tab: Tab, address: str, put: Any) -> None:
    put(HOSTILE, words=(HOSTILE, HOSTILE.upper()))
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 1 labelled")

    assert tab.see("document.querySelector('#prompt').textContent") == HOSTILE
    assert sorted(shown(tab)) == sorted(f"{HOSTILE}: {word}" for word in (HOSTILE, HOSTILE.upper()))
    assert tab.see("document.querySelectorAll('img').length + document.scripts.length") == 1  # the page's own script
    assert tab.see("window.caught === undefined")


@pytest.mark.parametrize("attack", ["document.body.innerHTML = '<b>x</b>'", "eval('1')", "setTimeout('1')"])
def test_the_browser_takes_no_text_for_html_or_code(attack: str, tab: Tab, address: str) -> None:
    tab.open(address)

    ran = tab.see(
        "new Promise(done => { addEventListener('securitypolicyviolation', () => done(false));"
        f"Promise.resolve().then(() => {{ {attack} }}).catch(() => done(false)); setTimeout(() => done(true), 500); }})"
    )

    assert ran is False


def test_nothing_leaves_for_elsewhere(tab: Tab, address: str) -> None:
    tab.open(address)

    assert tab.see("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.message)") == "Failed to fetch"
    assert tab.see("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing_serious_at_any_step(
    screen: tuple[int, int], scheme: str, tab: Tab, address: str, put: Any, front: Front
) -> None:
    put("a", "b")
    tab.open(address, *screen, scheme=scheme)
    assert tab.faults() == []
    sign_in(tab, address, screen, scheme=scheme)
    wait_for_pair(tab, "0 of 2 labelled")
    assert tab.faults() == []
    front.failing = [400]
    tab.press("1")
    tab.wait("document.body.innerText.includes('Not saved: told to fail')")
    tab.press("u")
    assert tab.faults() == []
    tab.press("1", "2")
    tab.wait("document.body.innerText.includes('No pair is left for you')")
    assert tab.faults() == []


def test_axe_would_find_a_button_without_a_name(tab: Tab, address: str) -> None:
    tab.open(address)
    tab.see("document.querySelector('main').append(document.createElement('button'))")

    assert [each.partition(":")[0] for each in tab.faults()] == ["button-name"]


def test_a_screen_reader_hears_question_answers_and_choices_in_this_order(tab: Tab, address: str, put: Any) -> None:
    put("a", "b")
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 2 labelled")
    left, right = shown(tab)

    heard = tab.heard()

    said = [name for role, name in heard if role in ("heading", "StaticText", "button")]
    places = [said.index(each) for each in ("Question", "Answer 1", left, "Answer 2", right)]
    assert places == sorted(places)
    buttons = [name for role, name in heard if role == "button"]
    assert [name[:11].strip() for name in buttons[:3]] == ["1 is better", "A tie 0", "2 is better"]
    assert {("status", ""), ("alert", ""), ("group", "Your choice"), ("region", "Question")} <= set(heard)
    tab.press("1")
    wait_for_pair(tab, "1 of 2 labelled")
    assert tab.see("document.querySelector('[role=status]').textContent") == "You said: answer 1 is better."
    assert tab.see("document.activeElement.getAttribute('aria-describedby')") == "prompt"


def test_a_thumb_reaches_all_choices_on_a_phone_without_scrolling(
    tab: Tab, front: Front, address: str, put: Any, stored: Any, texts: Any
) -> None:
    put("a", "b", words=("long " * 400, "unbroken" * 200))
    sign_in(tab, address, PHONE)
    wait_for_pair(tab, "0 of 2 labelled")
    _, right = shown(tab)

    assert tab.see("document.documentElement.scrollWidth") == PHONE[0]
    assert tab.see("document.documentElement.scrollHeight") > PHONE[1]
    boxes = tab.see(
        "[...document.querySelectorAll('[data-choice]')].map(each => each.getBoundingClientRect().toJSON())"
    )
    assert all(box["height"] >= 44 and box["width"] >= 44 and box["bottom"] <= PHONE[1] for box in boxes)
    tab.tap('[data-choice="2"]')
    wait_for_pair(tab, "1 of 2 labelled")
    wait_until(tab, front, 1)

    (item,) = stored("preference")
    assert texts()[item["value"]["chosen"]] == right
    assert tab.see("scrollY") == 0


def test_the_key_is_asked_once_a_tab_and_kept_nowhere_else(tab: Tab, chromium: Any, address: str, put: Any) -> None:
    put("a")
    sign_in(tab, address)
    wait_for_pair(tab, "0 of 1 labelled")
    tab.open(address)
    wait_for_pair(tab, "0 of 1 labelled")

    assert tab.see("Object.values(sessionStorage).sort()") == ["Ada", "assistant", KEY]
    assert tab.see("localStorage.length + document.cookie.length") == 0
    assert KEY not in tab.see("location.href")
    other = Tab(chromium)
    other.open(address)
    assert other.see("document.activeElement.id") == "key"


def test_a_key_that_is_not_accepted_is_asked_again(tab: Tab, address: str, put: Any) -> None:
    put("a")
    tab.open(address)
    tab.type("wrong")
    tab.press("Tab")
    tab.type("Ada")
    tab.press("Enter")
    tab.wait("document.body.innerText.includes('The API key is not accepted.')")

    assert tab.see("document.activeElement.id") == "key"
    tab.type(KEY)
    tab.press("Enter")
    wait_for_pair(tab, "0 of 1 labelled")
    assert "not accepted" not in tab.see("document.body.innerText")


def test_a_label_is_sent_again_until_it_is_stored(tab: Tab, front: Front, address: str, put: Any, stored: Any) -> None:
    put("a", "b")
    front.failing = [503, 429]
    sign_in(tab, address)
    tab.wait("!document.querySelector('#pair').hidden")
    tab.see("PATIENCE_MS.fill(10)")
    tab.press("1")
    wait_for_pair(tab, "1 of 2 labelled")  # the next pair does not wait
    wait_until(tab, front, 3)

    assert len(stored("preference")) == 1


def test_a_label_that_cannot_be_sent_is_kept_and_sent_when_asked_to(
    tab: Tab, front: Front, address: str, put: Any, stored: Any
) -> None:
    put("a", "b")
    front.failing = [503] * 4
    sign_in(tab, address)
    tab.wait("!document.querySelector('#pair').hidden")
    tab.see("PATIENCE_MS.fill(10)")
    tab.press("1")
    tab.wait("document.body.innerText.includes('1 not saved yet: told to fail')")
    assert stored("preference") == []
    tab.tap("#retry")
    wait_until(tab, front, 5)

    assert len(stored("preference")) == 1
    assert tab.see("document.querySelector('#again').hidden")


def test_many_pairs_come_as_they_are_needed_each_once(
    tab: Tab, front: Front, address: str, put: Any, stored: Any
) -> None:
    put(*(f"p{number}" for number in range(25)))
    sign_in(tab, address)
    for done in range(25):
        wait_for_pair(tab, f"{done} of 25 labelled")
        tab.press("0")
    tab.wait("document.body.innerText.includes('No pair is left for you')")
    wait_until(tab, front, 25)

    assert len(stored("preference")) == 25


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_can_be_drawn(
    screen: tuple[int, int], scheme: str, tab: Tab, address: str, put: Any, front: Front, tmp_path: Any
) -> None:
    put("How do I reset my meter?", "When is it cheap?", words=("Hold the button. " * 20, "I do not know."))
    sign_in(tab, address, screen, scheme=scheme)
    wait_for_pair(tab, "0 of 2 labelled")
    tab.press("2")
    wait_until(tab, front, 1)
    tab.press("u")

    content = tab.picture()
    (tmp_path / "label.png").write_bytes(content)

    assert struct.unpack(">II", content[16:24]) == screen
    assert len(content) > 10_000
