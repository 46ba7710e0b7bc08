import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.identity import isoformat, unix_ms, unix_ms_of, uuid7

instants = st.integers(0, 253_402_300_799_999)  # to the end of the year 9999
randoms = st.binary(min_size=10, max_size=10)


@given(instants, randoms)
def test_an_id_is_a_version_7_uuid_that_tells_its_time(moment: int, random: bytes) -> None:
    made = uuid7(moment, random)

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert unix_ms_of(str(made)) == unix_ms_of(made.hex) == moment


@given(instants, instants, randoms, randoms)
def test_ids_sort_by_their_time(first: int, second: int, one: bytes, other: bytes) -> None:
    if first != second:
        assert (uuid7(first, one).hex < uuid7(second, other).hex) == (first < second)


@pytest.mark.parametrize("bit", range(74))
def test_every_one_of_the_74_random_bits_is_used(bit: int) -> None:
    assert uuid7(0, (1 << bit).to_bytes(10, "big")) != uuid7(0, bytes(10))


@given(instants)
def test_an_instant_survives_being_written_and_read(moment: int) -> None:
    assert unix_ms(isoformat(moment)) == moment


@pytest.mark.parametrize(
    ("moment", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000_999, "2023-11-14T22:13:20.999Z"), (7, "1970-01-01T00:00:00.007Z")],
)
def test_an_instant_is_written_in_utc_with_milliseconds(moment: int, text: str) -> None:
    assert isoformat(moment) == text


def test_an_instant_in_another_time_zone_is_the_same_instant() -> None:
    assert unix_ms("2023-11-14T23:13:20+01:00") == unix_ms("2023-11-14T22:13:20Z") == 1_700_000_000_000
