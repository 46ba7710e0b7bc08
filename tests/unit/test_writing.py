from bisect import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.languages import SENTENCES
from tokenizers import Tokenizer, models

from pawl.language import language_of
from pawl.script import script_of, script_runs
from pawl.writing import text_features, unknown_token


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("please refund me", "latin"),
        ("größer, schöner", "latin"),
        ("Привет, world", "cyrillic"),
        ("Καλημέρα", "greek"),
        ("漢字", "han"),
        ("ありがとう、漢字", "kana"),
        ("한국어", "hangul"),
        ("مرحبا", "arabic"),
        ("שלום", "hebrew"),
        ("नमस्ते", "devanagari"),
        ("สวัสดี", "thai"),
        ("12 34 x", "digits"),
        ("\uff11\uff12\uff13", "digits"),
        ("🦜🦜 ok? 🦜", "symbols"),
        ("", "other"),
        ("?!…", "other"),
    ],
)
def test_the_script_is_that_of_most_characters(text: str, script: str) -> None:
    assert script_of(text) == script


@given(st.text())
def test_every_text_has_a_script(text: str) -> None:
    assert script_of(text).isalpha()


@given(st.text("abc123 .,"))
def test_ascii_has_the_script_that_the_slow_way_tells(text: str) -> None:
    letters, digits = sum(map(str.isalpha, text)), sum(map(str.isdigit, text))

    assert script_of(text + "\u2014") == script_of(text)
    assert script_of(text) == ("other" if letters + digits == 0 else "latin" if letters >= digits else "digits")


def test_a_text_is_told_by_its_length_its_script_and_what_the_tokenizer_does_not_know() -> None:
    features = text_features(["hi", "Привет мир"], [[2, 7], [2, 1, 1, 9]], 1)

    assert features == {
        "tokens": [2, 4],
        "vocabulary": [2, 3],
        "characters": [2, 10],
        "script": ["latin", "cyrillic"],
        "language": ["latin", "cyrillic"],
        "unknown_rate": [0.0, 0.5],
    }
    assert "unknown_rate" not in text_features(["hi"], [[2, 7]], None)


def test_the_unknown_token_is_the_tokenizers_own() -> None:
    vocabulary = {"[PAD]": 0, "<unk>": 1, "hi": 2}

    assert unknown_token(Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))) == 1
    assert unknown_token(Tokenizer(models.BPE())) is None


def test_sentences_of_every_language_are_told_as_often_as_stated() -> None:
    told = {name: [language_of(sentence) for sentence in sentences] for name, sentences in SENTENCES.items()}
    openings = [
        language_of(" ".join(sentence.split()[:3])) == name for name, each in SENTENCES.items() for sentence in each
    ]

    assert sum(each.count(name) for name, each in told.items()) == 89
    assert min(each.count(name) for name, each in told.items()) >= 4
    assert (len(openings), sum(openings)) == (96, 74)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "other"),
        ("42", "digits"),
        ("xkcd", "latin"),
        ("ありがとう", "kana"),
        ("THE METER", "english"),
        ("xq " * 400 + " the the the", "latin"),
    ],
)
def test_a_text_that_says_nothing_goes_by_its_script(text: str, language: str) -> None:
    assert language_of(text) == language


@given(st.text())
def test_every_text_has_a_language_or_a_script(text: str) -> None:
    assert language_of(text).isalpha()


def test_others_can_tell_scripts_by_the_runs_alone() -> None:
    names, runs = script_runs()
    starts = [start for start, _ in runs]
    for code in range(0x20, 0x32000, 7):
        name = runs[bisect(starts, code) - 1][1]
        if not 0xD800 <= code < 0xE000:
            assert script_of(chr(code)) == (name or "other"), hex(code)
    assert {name for _, name in runs} == {"", *names}
