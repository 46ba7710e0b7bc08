"""The page of `scripts/edge` in a real browser: what it answers, refuses, keeps and shows, with a host and without."""

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.functional.browser import Tab
from tests.functional.edge_models import LABELS, TEXTS, seal_classifier, sign
from tests.functional.edge_pages import READY, ask
from tests.functional.embedders import seal_embedder
from tests.functional.static import Host, host
from tests.unit.languages import SENTENCES
from tokenizers import Tokenizer

from artifacts.signing import KeyFile
from benchmarks.edge import Size, measure
from devices.characters import around
from devices.page import write_page
from devices.source import Source
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Bundle, seal
from pawl.classifier import TextClassifier
from pawl.embedder import TextEmbedder
from pawl.words import WordTokenizer
from pawl.writing import text_features, unknown_token

PHONE, DESKTOP = (390, 844), (1280, 900)
TOLERANCE = 1e-4
"""How far a probability may be from the Lambda's: the same int8 kernels add floats in another order."""
CHANGES = 300
WORDS = (
    "Where is my PARCEL? don't naïve café \uff21\uff22\uff23 ﬁ ß İstanbul ΟΔΥΣΣΕΥΣ 中文字 日本語 한국어 👩\u200d👧 "
    "🇩🇪 [SEP] [MASK] [UNK] [CLS]x $5.00 https://a.b/c?d=e_f"
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("key") / "key.pem"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, signer: Path) -> Bundle:
    made = seal_classifier(tmp_path_factory.mktemp("bundle") / "1")
    sign(made.path, signer)
    return made


@pytest.fixture(scope="module")
def packed(bundle: Bundle, signer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(bundle, signer, tmp_path_factory.mktemp("packed"))


@pytest.fixture
def page(packed: Path, tmp_path: Path) -> Path:
    """The packed page, to be spoiled."""
    return Path(shutil.copytree(packed, tmp_path / "page"))


@pytest.fixture
def site(page: Path) -> Iterator[Host]:
    with host(page) as served:
        yield served


@pytest.fixture
def tab(chromium: Any) -> Tab:
    return Tab(chromium)


@pytest.fixture
def opened(tab: Tab, site: Host) -> Tab:
    """A tab with the page, ready to answer."""
    tab.open(site.address)
    tab.wait(READY)
    return tab


def pack(bundle: Bundle, signer: Path, folder: Path, send_to: str | None = None) -> Path:
    write_page(Source(bundle, KeyFile(signer).trusted), folder, send_to)
    return folder


def renumbered(bundle: Bundle, folder: Path, version: str) -> Bundle:
    """The same model as another version."""
    folder.mkdir()
    for name in bundle.manifest.files:
        shutil.copy2(bundle.path / name, folder / name)
    about = {each.name: getattr(bundle.manifest, each.name) for each in fields(bundle.manifest) if each.name != "files"}
    return seal(folder, **{**about, "version": version})


def answer(tab: Tab, text: str) -> Any:
    return tab.see(f"pawl.answer({json.dumps(text)})")


def texts_of_all_kinds(count: int, seed: int = 20) -> list[str]:
    """Words of many scripts, signs, emoji, marks, spaces and special tokens, in any order."""
    rng = random.Random(seed)
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0x980)]
    blocks += [(0xE00, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2070), (0x3040, 0x3100), (0x4E00, 0x5200)]
    blocks += [(0xAC00, 0xAE00), (0xF900, 0xFB50), (0xFE00, 0x10000), (0x11380, 0x113D8), (0x1D400, 0x1D800)]
    blocks += [(0x1F300, 0x1FAFF), (0x20000, 0x20100), (0x2B820, 0x2B920), (0, 0x20), (0x7F, 0xA0), (0xE000, 0xE010)]
    words = [*WORDS.split(), "e\u0301", "\u200b", "\ufeff", "x\u00adx", "\t\n", "\x00", "b" * 101]

    def piece() -> str:
        if rng.random() < 0.4:
            return rng.choice(words)
        return "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(rng.randrange(1, 8)))

    return [rng.choice(["", " "]).join(piece() for _ in range(rng.randrange(0, 40))) for _ in range(count)]


def test_the_page_answers_as_the_lambda_does(opened: Tab, bundle: Bundle) -> None:
    model = TextClassifier(bundle)
    texts = [*TEXTS, *texts_of_all_kinds(40, seed=5), "delivery " * 200]
    for text in texts:
        wanted = model.predict({"text": [text]})
        features = {name: column[0] for name, column in wanted.features().items()}
        got = answer(opened, text)

        assert got["outputs"]["label"] == wanted.outputs["label"][0]
        assert np.abs(np.array(got["outputs"]["probabilities"]) - wanted.outputs["probabilities"][0]).max() < TOLERANCE
        assert got["features"].keys() == features.keys()
        for name, value in features.items():
            near = pytest.approx(value, abs=1e-3) if name.startswith(("confidence", "projection")) else value
            assert got["features"][name] == near, name
    assert len({answer(opened, text)["outputs"]["label"] for text in texts}) > 1


def test_an_embedder_gives_its_numbers(tab: Tab, packed: Path, signer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(packed / "model" / "tokenizer.json"))
    vectors = np.random.default_rng(3).normal(size=(tokenizer.get_vocab_size(), 3))
    embedder = seal_embedder(tmp_path / "compass", tokenizer=tokenizer, vectors=vectors)
    sign(embedder.path, signer)
    (tmp_path / "page").mkdir()
    with host(pack(embedder, signer, tmp_path / "page")) as site:
        tab.open(site.address)
        tab.wait(READY)
        for text in TEXTS:
            wanted = TextEmbedder(embedder).predict({"text": [text]})
            got = answer(tab, text)
            assert got["outputs"]["embedding"] == pytest.approx(list(wanted.outputs["embedding"][0]), abs=TOLERANCE)
            assert got["features"].keys() == wanted.features().keys()
        assert ask(tab, "where is my parcel") == "3 numbers"
        assert tab.see("document.querySelector('#judge').hidden")


def test_the_page_cuts_thousands_of_texts_of_all_scripts_into_the_same_tokens(opened: Tab, packed: Path) -> None:
    tokenizer: Any = Tokenizer.from_file(str(packed / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    words = WordTokenizer(tokenizer)
    texts = texts_of_all_kinds(3_000)
    opened.see(
        """(async () => {
          const {Tokenizer} = await import("./tokenizer.js");
          const [told, characters] = await Promise.all(["model/tokenizer.json", "characters.json"]
            .map(async name => (await fetch(name)).json()));
          window.tokenizer = new Tokenizer(told, characters, AROUND, 64);
        })()""".replace("AROUND", json.dumps(around(tokenizer)))
    )
    got = opened.see(f"{json.dumps(texts)}.map(text => tokenizer.ids(text))")
    different = [text for text, ids in zip(texts, got, strict=True) if ids != words.ids(text)]
    assert different == []


def test_the_page_counts_of_texts_of_all_kinds_what_the_lambda_counts(opened: Tab, packed: Path) -> None:
    tokenizer: Any = Tokenizer.from_file(str(packed / "model" / "tokenizer.json"))
    words, unknown = WordTokenizer(tokenizer), unknown_token(tokenizer)
    texts = [*texts_of_all_kinds(500), *(text for each in SENTENCES.values() for text in each), *TEXTS]
    ids = [words.ids(text) for text in texts]
    opened.see(
        """(async () => {
          const {textFeatures} = await import("./features.js");
          const {scripts, languages: {names, words, letters}} = await (await fetch("edge.json")).json();
          const languages = {names, words: new Map(words), letters: new Map(letters)};
          window.counted = (text, ids) => textFeatures(text, ids, UNKNOWN, {scripts, languages});
        })()""".replace("UNKNOWN", json.dumps(unknown))
    )
    got = opened.see(f"{json.dumps([*zip(texts, ids, strict=True)])}.map(each => counted(...each))")
    wanted = text_features(texts, ids, unknown)
    assert {name: [each[name] for each in got] for name in wanted} == wanted
    assert len(set(wanted["language"])) > 16


def test_every_character_there_is_gives_the_same_tokens(opened: Tab, packed: Path) -> None:
    """Of the characters that are no unified ideographs or syllables one in seven, of those one in ninety-seven."""
    tokenizer: Any = Tokenizer.from_file(str(packed / "model" / "tokenizer.json"))
    tokenizer.no_padding()
    crowded = [(0x3400, 0xA000), (0xAC00, 0xD7A4), (0x17000, 0x18D00), (0x20000, 0x110000)]
    step = {code: 97 if any(low <= code < high for low, high in crowded) else 7 for code in range(0x110000)}
    codes = [code for code in range(0x110000) if code % step[code] == 3 and not 0xD800 <= code < 0xE000]
    opened.see(
        """(async () => {
          const {Tokenizer} = await import("./tokenizer.js");
          const [told, characters] = await Promise.all(["model/tokenizer.json", "characters.json"]
            .map(async name => (await fetch(name)).json()));
          window.tokenizer = new Tokenizer(told, characters, AROUND, 64);
        })()""".replace("AROUND", json.dumps(around(tokenizer)))
    )
    got = opened.see(
        f"{codes}.map(code => String.fromCodePoint(code)).map(one => tokenizer.ids(`a${{one}}b ${{one}} x${{one}}`))"
    )
    wanted = (tokenizer.encode(f"a{one}b {one} x{one}").ids for one in map(chr, codes))
    assert [code for code, ids, own in zip(codes, got, wanted, strict=True) if ids != own] == []


def test_an_altered_file_is_refused_by_its_name_and_nothing_can_be_asked(tab: Tab, site: Host) -> None:
    weights = site.folder / "model" / "model.onnx.data"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    tab.open(site.address)
    tab.wait("document.querySelector('#wrong').textContent")

    said = tab.see("document.querySelector('[role=alert]').textContent")
    assert said == "This model is refused: model.onnx.data does not match its signature."
    assert tab.see("document.querySelector('#go').disabled")


def test_an_unsigned_model_and_one_of_a_stranger_are_refused(
    tab: Tab, site: Host, bundle: Bundle, tmp_path: Path
) -> None:
    stranger = Path(shutil.copytree(bundle.path, tmp_path / "stranger"))
    sign(stranger, tmp_path / "other.pem")
    shutil.copy2(stranger / SIGNATURE, site.folder / "model" / SIGNATURE)
    tab.open(site.address)
    tab.wait("document.querySelector('#wrong').textContent")
    assert "model.sig is by a key that is not trusted here" in tab.see("document.querySelector('#wrong').textContent")

    (site.folder / "model" / SIGNATURE).unlink()
    tab.open(site.address)
    tab.wait("document.querySelector('#wrong').textContent.includes('missing')")
    said = tab.see("document.querySelector('#wrong').textContent")
    assert said == "This model is refused: model.sig is missing, and unsigned models are not opened here."


def test_no_single_byte_of_any_file_can_be_changed(opened: Tab, packed: Path) -> None:
    names = sorted(path.name for path in (packed / "model").iterdir())
    assert {MANIFEST, SIGNATURE, EVIDENCE, "model.onnx", "model.onnx.data", "tokenizer.json"} < set(names)
    rng = random.Random(6)
    changes = list[tuple[str, int, int]]()
    for name in (rng.choice(names) for _ in range(CHANGES)):
        size = (packed / "model" / name).stat().st_size
        changes.append((name, rng.randrange(size), rng.randrange(1, 256)))
    outcomes = opened.see(
        """(async changes => {
          const {openBundle} = await import("./bundle.js");
          const {keys} = await (await fetch("edge.json")).json();
          const files = new Map();
          const read = async name => {
            if (!files.has(name)) {
              const reply = await fetch(`model/${name}`);
              files.set(name, reply.ok ? new Uint8Array(await reply.arrayBuffer()) : null);
            }
            return files.get(name);
          };
          await openBundle(read, keys);
          const told = [];
          for (const [name, at, bit] of changes) {
            const altered = Uint8Array.from(files.get(name));
            altered[at] ^= bit;
            const spoiled = each => each === name ? altered : read(each);
            told.push(await openBundle(spoiled, keys).then(() => ["opened", ""], e => [e.constructor.name, e.message]));
          }
          return told;
        })"""
        + f"({json.dumps(changes)})"
    )
    for (name, at, _), outcome in zip(changes, outcomes, strict=True):
        kind, message = outcome
        assert kind == "Refused", (name, at, outcome)
        assert message.startswith(name), (name, at, message)


def test_after_one_visit_it_opens_and_answers_without_its_host(opened: Tab, site: Host) -> None:
    before = ask(opened, "Where is my parcel?")
    opened.wait("navigator.serviceWorker.controller !== null")
    site.stop()
    opened.open(f"{site.address}?again")
    opened.wait(READY)

    assert ask(opened, "Where is my parcel?") == before
    assert "Works without a network" in opened.see("document.querySelector('#state').textContent")


def test_a_file_that_changes_after_the_visit_changes_nothing_that_is_kept(opened: Tab, site: Host) -> None:
    opened.wait("navigator.serviceWorker.controller !== null")
    (site.folder / "page.js").write_text("document.body.textContent = 'spoiled'")
    opened.open(f"{site.address}?again")
    opened.wait(READY)
    assert opened.see("typeof pawl.answer") == "function"


def test_a_later_version_is_taken_when_the_page_is_opened_again(
    opened: Tab, site: Host, bundle: Bundle, signer: Path, tmp_path: Path
) -> None:
    opened.wait("navigator.serviceWorker.controller !== null")
    later = renumbered(bundle, tmp_path / "2", "2")
    sign(later.path, signer)
    shutil.rmtree(site.folder)
    site.folder.mkdir()
    pack(later, signer, site.folder)
    opened.open(f"{site.address}?again")
    opened.wait("document.querySelector('#state').textContent.startsWith('A newer version is here')")
    assert "version 1" in opened.see("document.querySelector('#about').textContent")

    opened.open("about:blank")
    opened.open(f"{site.address}?later")
    opened.wait(READY)
    assert "version 2" in opened.see("document.querySelector('#about').textContent")


def test_it_is_asked_and_judged_by_keyboard_alone_and_says_what_it_does(opened: Tab) -> None:
    label = ask(opened, "Where is my parcel?")
    assert label in LABELS
    assert opened.see("document.activeElement.id") == "said"
    opened.press("Tab", "Enter")  # the first button after the answer: yes, that was right
    opened.wait("document.querySelector('#thanks').textContent.startsWith('Thank you')")
    opened.wait("document.querySelector('#waiting').textContent.startsWith('0 counts and 1 judgement')")
    assert opened.see("document.querySelector('#judge').hidden")


def test_all_of_it_can_be_heard(opened: Tab) -> None:
    label = ask(opened, "Where is my parcel?")
    heard = opened.heard()
    for part in [
        ("heading", "triage"),
        ("textbox", "Text"),
        ("button", "Answer"),
        ("heading", label),
        ("group", "Was that right?"),
        ("combobox", "No, it is"),
        ("heading", "What leaves this device"),
        ("region", "What leaves this device"),
    ]:
        assert part in heard, part
    assert any(role == "checkbox" and name.startswith("Count answers") for role, name in heard)


@pytest.mark.parametrize(("width", "height"), [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tab: Tab, site: Host, width: int, height: int, scheme: str) -> None:
    tab.open(site.address, width, height, scheme)
    tab.wait(READY)
    assert tab.faults() == []
    ask(tab, "Where is my parcel?")
    assert tab.faults() == []
    assert tab.see("document.documentElement.scrollWidth <= innerWidth")


def test_a_phone_may_install_it(opened: Tab) -> None:
    told = opened.call("Page.getAppManifest")
    assert told["errors"] == []
    assert json.loads(told["data"])["display"] == "standalone"
    assert opened.call("Page.getInstallabilityErrors")["installabilityErrors"] in ([], INCOGNITO)


INCOGNITO = [{"errorId": "in-incognito", "errorArguments": []}]
"""The tests' pages share no storage with one another, which Chromium takes for a private window."""


def test_the_benchmark_tells_how_heavy_how_fast_and_how_alike(
    bundle: Bundle, signer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAWL_SIGNING_KEY", str(signer))
    found = measure(Size(visits=1, answers=10), Source(bundle, KeyFile(signer).trusted))
    told = {figure.key: figure.value for figure in found.figures}

    files = sum(path.stat().st_size for path in bundle.path.iterdir()) / 1e6
    assert files + 14 < told["edge_page_mb"] < files + 16
    assert told["edge_again_answer_ms"] > 0
    assert told["edge_8_p50_ms"] <= told["edge_8_p99_ms"]
    assert (told["edge_texts"], told["edge_same_label"]) == (590, 1.0)
    assert told["edge_largest_difference"] < TOLERANCE


def test_what_is_asked_leaves_the_device_nowhere(opened: Tab, site: Host) -> None:
    opened.wait("navigator.serviceWorker.controller !== null")
    before = len(site.asked)
    ask(opened, "my secret is 1234")
    assert site.asked[before:] == []
    refused = opened.see("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.constructor.name)")
    assert refused == "TypeError"  # the page's policy lets it speak to its own host alone
