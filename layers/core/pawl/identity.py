"""Identifiers and instants: UUIDv7, so that an id sorts by its time and tells it without a look-up.

Time and randomness come in as arguments; only a function's entry point reads the clock.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta


def uuid7(unix_ms: int, random: bytes) -> uuid.UUID:
    """A version 7 UUID (RFC 9562, section 5.7) of a time in milliseconds and 10 random bytes.

    >>> uuid7(1_700_000_000_000, bytes(10))
    UUID('018bcfe5-6800-7000-8000-000000000000')
    """
    return uuid.UUID(uuid7_hex(unix_ms, random))


def uuid7_hex(unix_ms: int, random: bytes) -> str:
    """The 32 hexadecimal digits of that UUID, for a tenth of the time.

    >>> uuid7_hex(1_700_000_000_000, bytes(10))
    '018bcfe5680070008000000000000000'
    """
    bits = int.from_bytes(random, "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | bits & 0x3FFF_FFFF_FFFF_FFFF
    return f"{value:032x}"


def unix_ms_of(identifier: str) -> int:
    """The time in a version 7 UUID, in milliseconds since 1970.

    >>> unix_ms_of('018bcfe5-6800-7000-8000-000000000000')
    1700000000000
    """
    return uuid.UUID(identifier).int >> 80


def uuids_from(unix_ms: int) -> str:
    """What sorts before every version 7 UUID, as hexadecimal digits, of that millisecond or later, after all others.

    >>> uuids_from(1_700_000_000_000)
    '018bcfe56800'
    """
    return f"{unix_ms:012x}"


def isoformat(unix_ms: int) -> str:
    """An instant as ISO 8601 in UTC with milliseconds.

    >>> isoformat(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{unix_ms % 1000:03d}Z"


def unix_ms(instant: str) -> int:
    """The milliseconds since 1970 of an ISO 8601 instant.

    >>> unix_ms('2023-11-14T22:13:20.123Z')
    1700000000123
    """
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def day_of(unix_ms: int) -> str:
    """The day that an instant lies in, in UTC.

    >>> day_of(1_700_000_000_123)
    '2023-11-14'
    """
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d")


def days_within(since_ms: int, until_ms: int) -> Iterator[str]:
    """The days, in UTC and in order, that [since, until) touches; at least the one that it begins in.

    >>> list(days_within(1_700_000_000_123, 1_700_100_000_000))
    ['2023-11-14', '2023-11-15', '2023-11-16']
    """
    day = datetime.fromtimestamp(since_ms / 1000, UTC).date()
    last = datetime.fromtimestamp(max(since_ms, until_ms - 1) / 1000, UTC).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
