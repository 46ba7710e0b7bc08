import base64
import hashlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.errors import InvalidReceipt, SettingsError
from pawl.receipt import Receipt, ReceiptKeys

NOW = 1_700_000_000_000
DAY = 86_400_000
OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32
KEYS = ReceiptKeys(NEW)


def _sign(keys: ReceiptKeys, **changes: Any) -> str:
    answer: dict[str, Any] = {
        "model": "triage",
        "model_version": "3",
        "function_version": "7",
        "rows": 2,
        "payload": b"no light\0no power",
        "unix_ms": NOW,
        "random": bytes(10),
    }
    return keys.sign(**{**answer, **changes})


RECEIPT = _sign(KEYS)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_receipt_says_which_answer_it_stands_for() -> None:
    receipt = KEYS.verify(RECEIPT, now_ms=NOW, valid_days=1)

    digest = _b64(hashlib.blake2b(b"no light\0no power", digest_size=12).digest())
    assert receipt == Receipt("018bcfe5680070008000000000000000", "triage", "3", "7", 2, digest)
    assert receipt.unix_ms == NOW


def test_what_a_receipt_claims_can_be_read_without_a_key_if_it_has_the_form_of_one() -> None:
    assert Receipt.unproved(RECEIPT) == KEYS.verify(RECEIPT, now_ms=NOW, valid_days=1)
    for wrong in ("", "a wren", RECEIPT.rpartition(".")[0], f"{RECEIPT} ", RECEIPT.replace(".2.", ".two.")):
        with pytest.raises(InvalidReceipt, match=r"^value is none: want one as an answer came with"):
            Receipt.unproved(wrong, "value")


def test_a_receipt_keeps_the_form_that_receipts_already_given_have() -> None:
    digest = _b64(hashlib.blake2b(b"no light\0no power", digest_size=12).digest())
    body = f"new.018bcfe5680070008000000000000000.triage.3.7.2.{digest}"
    key = hashlib.blake2b(b"n" * 32).digest()
    mac = _b64(hashlib.blake2b(body.encode(), key=key, digest_size=16).digest())

    assert f"{body}.{mac}" == RECEIPT


def test_a_receipt_needs_no_escaping_in_an_address() -> None:
    assert set(RECEIPT) <= set(string.ascii_letters + string.digits + "-._~")


def test_an_unpublished_function_version_is_written_as_zero() -> None:
    receipt = KEYS.verify(_sign(KEYS, function_version="$LATEST"), now_ms=NOW, valid_days=1)

    assert receipt.function_version == "0"


@given(st.integers(0, len(RECEIPT) - 1), st.characters())
def test_a_receipt_with_any_character_changed_is_refused(position: int, character: str) -> None:
    altered = RECEIPT[:position] + character + RECEIPT[position + 1 :]

    if altered != RECEIPT:
        with pytest.raises(InvalidReceipt):
            KEYS.verify(altered, now_ms=NOW, valid_days=1)


@pytest.mark.parametrize("position", range(len(RECEIPT)))
def test_a_receipt_with_a_neighbouring_or_missing_or_doubled_character_is_refused(position: int) -> None:
    before, character, after = RECEIPT[:position], RECEIPT[position], RECEIPT[position + 1 :]

    for altered in (before + chr(ord(character) ^ 1) + after, before + after, before + 2 * character + after):
        if altered != RECEIPT:
            with pytest.raises(InvalidReceipt):
                KEYS.verify(altered, now_ms=NOW, valid_days=1)


@given(st.text(st.characters(exclude_categories=())))
def test_text_that_was_never_a_receipt_is_refused(text: str) -> None:
    for forged in (text, f"new.{text}", ".".join(["new", *[text] * 7])):
        with pytest.raises(InvalidReceipt):
            KEYS.verify(forged, now_ms=NOW, valid_days=1)


def test_a_receipt_of_another_deployment_is_refused() -> None:
    other = _sign(ReceiptKeys("new:" + "x" * 32))

    with pytest.raises(InvalidReceipt, match="altered"):
        KEYS.verify(other, now_ms=NOW, valid_days=1)


def test_a_receipt_longer_than_any_real_one_is_refused_before_it_is_computed_on() -> None:
    long = _sign(KEYS, model="m" * 200)

    assert len(long) > 256
    with pytest.raises(InvalidReceipt, match="not one that this deployment gave"):
        KEYS.verify(long, now_ms=NOW, valid_days=1)


def test_after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies() -> None:
    before, both = ReceiptKeys(OLD), ReceiptKeys(f"{NEW}, {OLD}")

    assert _sign(both).startswith("new.")
    assert both.verify(_sign(before), now_ms=NOW, valid_days=1).model == "triage"
    assert KEYS.verify(_sign(both), now_ms=NOW, valid_days=1).model == "triage"


def test_a_receipt_signed_with_a_removed_key_is_refused() -> None:
    with pytest.raises(InvalidReceipt, match="not one that this deployment gave"):
        KEYS.verify(_sign(ReceiptKeys(OLD)), now_ms=NOW, valid_days=1)


@pytest.mark.parametrize("valid_days", [90.0, 0.5])
def test_a_receipt_expires_a_moment_after_its_last_day(valid_days: float) -> None:
    last = NOW + round(valid_days * DAY)

    assert KEYS.verify(RECEIPT, now_ms=last, valid_days=valid_days).rows == 2
    with pytest.raises(InvalidReceipt, match=f"older than {valid_days:g} days"):
        KEYS.verify(RECEIPT, now_ms=last + 1, valid_days=valid_days)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "new",
        "new:" + "n" * 31,
        ":" + "n" * 32,
        "ninechars:" + "n" * 32,
        "a.b:" + "n" * 32,
        f"{NEW},",
        f"{NEW},{OLD[:9]}",
    ],
)
def test_keys_that_could_not_keep_a_secret_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SettingsError, match="want id:secret") as raised:
        ReceiptKeys(text)
    assert "nnn" not in str(raised.value)


def test_a_pseudonym_holds_as_long_as_its_key_and_tells_nothing_without_it() -> None:
    before, after = ReceiptKeys("1:" + "s" * 32), ReceiptKeys(f"2:{'t' * 32},1:{'s' * 32}")

    assert before.pseudonym("ada") in after.pseudonyms("ada")
    assert after.pseudonyms("ada")[0] == after.pseudonym("ada") != before.pseudonym("ada")
    assert not set(after.pseudonyms("ada")) & set(after.pseudonyms("bob"))
    assert before.pseudonym("\ud800") != before.pseudonym("")
