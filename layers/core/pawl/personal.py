"""Finds personal data in texts by what it must look like: patterns, checksums, and Google's plan of phone numbers.

Names of people, and whatever else only a reader would know, are not found: that takes a model. What looks alike and is
something else (order numbers, versions, dates) is told apart by checksum, length and the word before it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pawl.errors import SettingsError


class Span(NamedTuple):
    """Where in a text there is personal data, and of what kind."""

    start: int
    end: int
    kind: str


def find(text: str, kinds: Sequence[str], regions: Sequence[str]) -> list[Span]:
    """The personal data of some kinds in a text, in order and without overlap; where kinds overlap, the first one wins.

    `regions` are the countries whose phone numbers are found without their +code, too.

    >>> find("to ada@example.org, or 030 901820", ["email", "phone"], ["DE"])
    [Span(start=3, end=18, kind='email'), Span(start=23, end=33, kind='phone')]
    """
    if not _WORTH_A_LOOK.search(text):
        return []
    spans: list[Span] = []
    for kind in kinds:
        for start, end in FINDERS[kind](text, regions):
            if all(end <= span.start or span.end <= start for span in spans):
                spans.append(Span(start, end, kind))
    return sorted(spans)


def check_regions(regions: Sequence[str]) -> None:
    """SettingsError unless all are countries whose phone numbers are known."""
    from phonenumbers import SUPPORTED_REGIONS  # 50 ms, which who only reads settings does not wait for

    if unknown := sorted(set(regions) - SUPPORTED_REGIONS):
        raise SettingsError(f"phone regions {', '.join(unknown)}: want ISO 3166 codes of countries, as in DE,GB,US")


Place = tuple[int, int]
_WORTH_A_LOOK = re.compile(r"[@\d]|::")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++(?:'[\w.+%-]++){0,3}@(?:[\w-]++\.)+[^\W\d_]{2,63}(?![\w-])")
_IBAN_BEGINS = re.compile(r"(?<!\w)[A-Za-z]{2}\d\d(?= ?[A-Za-z0-9])")
_IBAN_LENGTHS = {
    code: int(length)
    for code, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27"
        "GB22GE22GI23GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19"
        "MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23"
        "TN24TR26UA29VA22VG24XK20",
    )
}
_CARD = re.compile(r"(?<![\w.])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}|\d{4}([ -]?)\d{6}\2\d{4,5}|\d{13,16})(?!\w|[.,-]\d)")
_ISSUERS = re.compile(r"4\d{12}(?:\d{3})?|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3[068]\d{12}|6(?:011|5\d\d)\d{12}")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?![\w:])")
_A_VERSION = re.compile(r"(?:\b(?:v|version|firmware|release|build|software)\W*)$", re.IGNORECASE)
_DIGITS_OF_PHONE = re.compile(r"\d(?:[\s()/.\u2010-\u2015-]{0,4}\d){5}")
_A_NUMBER_OF_THINGS = re.compile(
    r"(?:order|invoice|ticket|case|tracking|parcel|shipment|serial|ref|reference|customer|contract|meter|article|part"
    r"|isbn|ean|imei|rma|sku|id|bestell\w*|rechnung\w*|auftrag\w*|kunden\w*|sendung\w*|vorgang\w*|artikel\w*|serien\w*"
    r"|vertrag\w*|zähler\w*|paket\w*|aktenzeichen)"
    r"[\s:#.-]*(?:no|nr|number|numbers|nummer|code|id|is|was|ist|lautet|war)?[\s:#.-]*(?:is|was|ist|lautet|war)?[\s:#.-]*$",
    re.IGNORECASE,
)
_BEFORE = 48
"""So many characters before a number are looked at for what it is a number of."""
_TRIES = 1_000
"""After so many groups of digits that are no phone numbers, the rest of a text is not looked at for any."""
_STREETS = (
    re.compile(
        r"(?<!\w)(?:[A-ZÄÖÜ][\w.-]{0,40}(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|steig|chaussee)"
        r"|(?:[A-ZÄÖÜ][\w-]{1,40} ){1,2}(?:Straße|Strasse|Str\.|Weg|Platz|Allee|Gasse|Ring|Damm|Ufer))"
        r" \d{1,4} ?[a-z]?(?!\w)(?:,? (?:in )?\d{5} [A-ZÄÖÜ][\w-]+)?"
    ),
    re.compile(
        r"(?<![\w.])\d{1,5}[A-Za-z]? (?:[A-Z][\w'.-]{0,40} ){1,3}"
        r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Terrace|Close|Crescent|Square)\b\.?"
        r"(?:, [A-Z][a-z'-]+(?: [A-Z][a-z'-]+){0,2}(?:,? (?:[A-Z]{2} \d{5}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}))?)?"
    ),
)


def _emails(text: str, regions: Sequence[str]) -> Iterator[Place]:
    if "@" in text:
        yield from (found.span() for found in _EMAIL.finditer(text))


def _ibans(text: str, regions: Sequence[str]) -> Iterator[Place]:
    """Numbers of the length that their country has and with the right check digits (ISO 13616)."""
    for found in _IBAN_BEGINS.finditer(text):
        length, end = _IBAN_LENGTHS.get(found[0][:2].upper(), 0), found.start()
        number = ""
        while len(number) < length and re.match(" ?[A-Za-z0-9]", text[end : end + 2]):
            end += 1 + (text[end] == " ")
            number += text[end - 1]
        is_whole = length and len(number) == length and not text[end : end + 1].isalnum()
        if is_whole and int("".join(str(int(each, 36)) for each in number[4:] + number[:4])) % 97 == 1:
            yield found.start(), end


def _cards(text: str, regions: Sequence[str]) -> Iterator[Place]:
    """Numbers that an issuer of cards gives out, with the right check digit (ISO/IEC 7812-1)."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
        if _ISSUERS.fullmatch(digits) and not (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10:
            yield found.span()


def _addresses_of_hosts(text: str, regions: Sequence[str]) -> Iterator[Place]:
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            try:
                ipaddress.ip_address(found[0])
            except ValueError:
                continue
            is_named = any(character.isdigit() for character in found[0])
            if is_named and not _A_VERSION.search(text[max(0, found.start() - _BEFORE) : found.start()]):
                yield found.span()


def _phones(text: str, regions: Sequence[str]) -> Iterator[Place]:
    """Numbers that can be dialled: with their +code anywhere, without it in these regions."""
    if not _DIGITS_OF_PHONE.search(text):
        return
    from phonenumbers import Leniency, PhoneNumberMatcher

    seen: set[Place] = set()
    for region in regions or (None,):
        for match in PhoneNumberMatcher(text, region, Leniency.VALID, _TRIES):
            before = text[max(0, match.start - _BEFORE) : match.start]
            is_thing = not match.raw_string.startswith("+") and _A_NUMBER_OF_THINGS.search(before)
            if not is_thing and (match.start, match.end) not in seen:
                seen.add((match.start, match.end))
                yield match.start, match.end


def _streets(text: str, regions: Sequence[str]) -> Iterator[Place]:
    for pattern in _STREETS:
        yield from (found.span() for found in pattern.finditer(text))


FINDERS: dict[str, Callable[[str, Sequence[str]], Iterator[Place]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses_of_hosts,
    "phone": _phones,
    "address": _streets,
}
"""How each kind is found; where two claim the same characters, the earlier one is right."""
