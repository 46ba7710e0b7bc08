"""Personal data in texts: what is found, what only looks like it, and what stands in its place."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import SettingsError
from pawl.masking import Masker, Policy, mask_record
from pawl.personal import FINDERS, find
from pawl.records import CaptureRecord

VALUES = {
    "email": "ada.lovelace+loop@mail.example.org",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "4111 1111 1111 1111",
    "ip": "192.168.17.4",
    "phone": "+49 30 901820",
    "address": "Hauptstraße 12a, 10115 Berlin",
}
WORDS = st.text(st.characters(categories=["Lu", "Ll", "Zs", "Po"], exclude_characters="@"), max_size=30)
TEXTS = st.lists(WORDS | st.sampled_from(list(VALUES.values())) | st.text(max_size=10), max_size=6).map(" ".join)


def masked(text: str, **policy: Any) -> str:
    return Masker(Policy(**policy))(text)


@pytest.mark.parametrize("kind", VALUES)
def test_each_kind_is_found_where_it_stands_and_only_when_it_is_wanted(kind: str) -> None:
    text = f"Please note: {VALUES[kind]}, thank you."

    assert masked(text) == f"Please note: <{kind.upper()}>, thank you."
    assert masked(text, kinds=tuple(set(FINDERS) - {kind})) == text


@pytest.mark.parametrize(
    "text",
    [
        "order 4155552671 from 2026-05-01 at 12:30:45",
        "Bestellnummer 0301234567, Rechnung 2026-0815",
        "firmware 2.4.1.7 instead of version 10.0.19045.1",
        "card 4111 1111 1111 1112 fails its check digit",
        "IBAN DE89 3704 0044 0532 0130 01 as well",
        "1.018bcfe5680070008000000000000000.triage.3.7.1.MzQ0NDQ0NDQ0NDQ0.k9oMzQ0NDQ0NDQ0NDQ0",
        "3.1415926535 of 100000000000 at a 5 % discount",
        "std::vector<int> beside a@b, and @ada",
        "eight Street 12",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("address", ["j.o'neil@example.ie", "jürgen@müller-beispiel.de", "a@b.example.museum"])
def test_an_address_is_masked_whole_whatever_its_letters_and_in_quotes_too(address: str) -> None:
    assert masked(f"'{address}', <{address}>") == "'<EMAIL>', <<EMAIL>>"


def test_an_iban_ends_where_its_country_says_whatever_follows() -> None:
    assert masked("from GB82 WEST 1234 5698 7654 32 BIC MIDLGB22") == "from <IBAN> BIC MIDLGB22"


def test_a_national_number_is_found_in_its_regions_alone() -> None:
    assert masked("call 030 901820", regions=("DE",)) == "call <PHONE>"
    assert masked("call 030 901820", regions=("US",)) == "call 030 901820"
    assert masked("call +49 30 901820", regions=()) == "call <PHONE>"


def test_the_same_value_has_the_same_placeholder_in_all_of_a_record() -> None:
    mask = Masker(Policy())

    assert mask(["to ada@example.org", "cc BOB@example.org"]) == ["to <EMAIL>", "cc <EMAIL_2>"]
    assert mask({"text": "bob@example.org: +49 30 901820, +4930901820"}) == {"text": "<EMAIL_2>: <PHONE>, <PHONE>"}


def test_a_conversation_is_masked_message_by_message_and_stays_one() -> None:
    messages = [{"role": "user", "content": "line\n030 901820"}, {"role": "assistant", "content": "noted: 030/901820"}]
    text = json.dumps(messages, ensure_ascii=False)

    assert [each["content"] for each in json.loads(masked(text))] == ["line\n<PHONE>", "noted: <PHONE>"]
    assert masked('[{"role": "user",  "content": "hi"}]') == '[{"role": "user",  "content": "hi"}]'


@pytest.mark.parametrize("text", ["[" * 100_000, "{030 901820", '{"a": 1' + "0" * 5_000 + "}"])
def test_what_begins_like_json_and_is_none_is_masked_as_text(text: str) -> None:
    assert masked(text) == text.replace("030 901820", "<PHONE>")


@given(TEXTS)
def test_what_is_masked_holds_none_of_what_was_found_and_masking_it_again_changes_nothing(text: str) -> None:
    once = masked(text)

    assert masked(once) == once
    for span in find(text, tuple(FINDERS), ("DE", "GB", "US")):
        assert text[span.start : span.end] not in once


@given(TEXTS)
def test_spans_are_in_order_apart_from_each_other_and_within_the_text(text: str) -> None:
    spans = find(text, tuple(FINDERS), ("DE",))
    ends = [0, *(span.end for span in spans)]

    assert all(end <= span.start < span.end <= len(text) for end, span in zip(ends, spans, strict=False))


def test_all_texts_of_a_record_are_masked_and_numbers_and_the_receipt_are_not(
    captured: Callable[..., CaptureRecord],
) -> None:
    record = captured(
        inputs={"text": ["ada@example.org", "x"], "number": [4111111111111111, 2]},
        outputs={"text": ["dear ada@example.org", "y"]},
        features={"sender": ["ada@example.org", "z"], "tokens": [3, 1], "label": [None, "billing"]},
    )

    found = mask_record(record, Policy())

    assert found.inputs == {"text": ["<EMAIL>", "x"], "number": [4111111111111111, 2]}
    assert found.outputs == {"text": ["dear <EMAIL>", "y"]}
    assert found.features == {"sender": ["<EMAIL>", "z"], "tokens": [3, 1], "label": [None, "billing"]}
    assert found.inference_id == record.inference_id
    assert mask_record(record, Policy.of("none", "")) == record


@pytest.mark.parametrize(
    ("kinds", "regions", "wanted"),
    [("email,names", "DE", "want 'none', or some of email"), ("", "DE", "want 'none'"), ("email", "DE,XX", "XX")],
)
def test_a_policy_that_nobody_can_follow_is_refused(kinds: str, regions: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted):
        Policy.of(kinds, regions)
