"""One finder of personal data: `personal_finders.py NAME` reads {"texts": [...]} as a line, answers spans and times.

Kinds are named as Pawl names them; what a library finds besides (dates, links, postal codes) is left out of its answer.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable

Spans = Iterable[tuple[int, int, str]]
ROUNDS = 5


def pawl() -> Callable[[str], Spans]:
    """This project, all kinds."""
    from pawl.masking import Policy
    from pawl.personal import find

    policy = Policy()
    return lambda text: [tuple(span) for span in find(text, policy.kinds, policy.regions)]


def presidio() -> Callable[[str], Spans]:
    """Presidio's pattern recognizers, with no model of a language: what they look for is alike in all."""
    import spacy
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}

    kinds = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IBAN_CODE": "iban", "CREDIT_CARD": "card"}
    kinds |= {"IP_ADDRESS": "ip", "PERSON": "name", "LOCATION": "address"}
    engine = AnalyzerEngine(nlp_engine=Blank(), supported_languages=["en"])
    wanted = [kind for kind in kinds if kind in engine.get_supported_entities()]
    return lambda text: [
        (each.start, each.end, kinds[each.entity_type]) for each in engine.analyze(text, language="en", entities=wanted)
    ]


def datafog() -> Callable[[str], Spans]:
    """DataFog's regular expressions, which are its default."""
    from datafog import scan

    kinds = {"EMAIL": "email", "PHONE": "phone", "IBAN": "iban", "CREDIT_CARD": "card", "IP_ADDRESS": "ip"}
    kinds |= {"PERSON": "name", "ADDRESS": "address", "STREET_ADDRESS": "address"}
    return lambda text: [(each.start, each.end, kinds[each.type]) for each in scan(text).entities if each.type in kinds]


def scrubadub() -> Callable[[str], Spans]:
    """Scrubadub's default detectors, with the phone numbers of Great Britain and Germany."""
    from scrubadub import Scrubber

    kinds = {"email": "email", "phone": "phone", "credit_card": "card", "address": "address", "name": "name"}
    scrubbers = [Scrubber(locale=locale) for locale in ("en_GB", "de_DE")]

    def found(text: str) -> Spans:
        spans = {
            (each.beg, each.end, kinds[part.type])
            for scrubber in scrubbers
            for each in scrubber.iter_filth(text)
            for part in getattr(each, "filths", [each])
            if part.type in kinds
        }
        return sorted(spans)

    return found


def commonregex() -> Callable[[str], Spans]:
    """commonregex-improved's patterns; it tells texts, not places."""
    import crim

    finders = {"email": crim.emails, "phone": crim.phones, "card": crim.credit_cards, "ip": crim.ips}
    finders |= {"iban": crim.iban_numbers, "address": crim.street_addresses}

    def found(text: str) -> Spans:
        spans: list[tuple[int, int, str]] = []
        for kind, finder in finders.items():
            for each in finder(text):
                start = text.find(each.strip())
                spans.append((start, start + len(each.strip()), kind))
        return spans

    return found


def main() -> None:
    """Find, then find again for the time: the best of some rounds, in microseconds a text."""
    texts = json.loads(sys.stdin.readline())["texts"]
    began = time.perf_counter()
    finder = {each.__name__: each for each in (pawl, presidio, datafog, scrubadub, commonregex)}[sys.argv[1]]()
    spans = [list(finder(text)) for text in texts]
    start_s, times = time.perf_counter() - began, list[float]()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for text in texts:
            list(finder(text))
        times.append((time.perf_counter() - began) / len(texts) * 1e6)
    print(json.dumps({"spans": spans, "us": min(times), "start_s": start_s}))


main()
