"""The same wish in other letters and words: what people and their keyboards do to a text, and its meaning survives.

Rules, not a model: each takes a text and a generator of chance, and gives the text back changed, or as it was where
it finds nothing to change. English is assumed where words matter.
"""

import random
import re
from collections.abc import Callable, Mapping

NEIGHBOURS: Mapping[str, str] = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol",
    "a": "qsz", "s": "awdx", "d": "sefc", "f": "drgv", "g": "fthb", "h": "gyjn", "j": "hukm", "k": "jil", "l": "ko",
    "z": "asx", "x": "zsdc", "c": "xdfv", "v": "cfgb", "b": "vghn", "n": "bhjm", "m": "njk",
}  # fmt: skip
"""Keys beside each other on a QWERTY keyboard."""
HOMOGLYPHS: Mapping[str, str] = {"a": "а", "c": "с", "e": "е", "i": "і", "o": "о", "p": "р", "x": "х", "y": "у"}  # noqa: RUF001
"""Cyrillic letters that look like Latin ones."""
_CONTRACTIONS = (
    ("i am", "i'm"), ("i have", "i've"), ("i will", "i'll"), ("it is", "it's"), ("that is", "that's"),
    ("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("is not", "isn't"), ("was not", "wasn't"),
    ("can not", "can't"), ("cannot", "can't"), ("could not", "couldn't"), ("will not", "won't"),
    ("have not", "haven't"), ("has not", "hasn't"), ("you are", "you're"), ("what is", "what's"),
    ("there is", "there's"), ("would not", "wouldn't"),
)  # fmt: skip
_SYNONYMS = (
    ("buy", "purchase"), ("fix", "repair"), ("need", "require"), ("wrong", "incorrect"), ("broken", "defective"),
    ("maybe", "perhaps"), ("still", "even now"), ("want to", "would like to"), ("tell me", "let me know"),
    ("can you", "could you"), ("please", "kindly"), ("again", "once more"), ("because", "since"), ("but", "however"),
    ("really", "truly"), ("problem", "issue"), ("phone", "mobile"), ("bill", "invoice"), ("straight away", "at once"),
    ("asap", "as soon as possible"), ("package", "parcel"), ("begin", "start"), ("how do i", "how can i"),
    ("i need", "i am in need of"), ("yesterday", "the day before today"), ("all the time", "constantly"),
)  # fmt: skip
_OPENINGS = ("Hi, ", "Hello there, ", "Good morning. ", "Quick question: ", "Sorry to bother you, but ")
_CLOSINGS = (" Thanks!", " Thank you in advance.", " Please advise.", " Cheers", " Any help is welcome.")
_WORDS = re.compile(r"[^\W\d_]{3,}")
_LETTERS_A_TYPO = 20
_APOSTROPHE = "['\N{RIGHT SINGLE QUOTATION MARK}]"

Rule = Callable[[str, random.Random], str]


def typos(text: str, chance: random.Random) -> str:
    """Slips of the fingers, one in every twenty letters and one at least: see `slip`.

    >>> typos("where is my parcel", random.Random(1))
    'wherre is my parcel'
    """
    for _ in range(max(1, len(text) // _LETTERS_A_TYPO)):
        words = list(_WORDS.finditer(text))
        if not words:
            return text
        word = chance.choice(words)
        text = text[: word.start()] + slip(word.group(), chance) + text[word.end() :]
    return text


def slip(word: str, chance: random.Random) -> str:
    """One slip within a word of three letters or more: two letters swapped, one left out, doubled, or its neighbour."""
    place = chance.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    return chance.choice(
        (
            before[:-1] + letter + before[-1] + after,
            before + after,
            before + letter * 2 + after,
            before + _neighbour(letter, chance) + after,
        )
    )


def unpunctuated(text: str, chance: random.Random) -> str:
    """As typed in haste: no capitals, no punctuation."""
    return " ".join(re.sub(r"[^\w\s']", " ", text).lower().split()) or text


def shouted(text: str, chance: random.Random) -> str:
    """All in capitals."""
    return text.upper()


def reworded(text: str, chance: random.Random) -> str:
    """Common words for others that mean the same, contractions opened or closed.

    >>> reworded("I don't need a broken phone", random.Random(0))
    'I do not require a defective mobile'
    """
    for long, short in _CONTRACTIONS:
        closed = short.replace("'", _APOSTROPHE)
        pattern = re.compile(rf"\b(?:({long})|({closed}))\b", re.IGNORECASE)
        text = pattern.sub(lambda found, long=long, short=short: _cased(found, short if found[1] else long), text)
    for word, other in _SYNONYMS:
        text = re.sub(rf"\b{word}\b", lambda found, other=other: _cased(found, other), text, flags=re.IGNORECASE)
    return text


def framed(text: str, chance: random.Random) -> str:
    """With a greeting before it and thanks behind."""
    return chance.choice(_OPENINGS) + text + chance.choice(_CLOSINGS)


def spaced(text: str, chance: random.Random) -> str:
    """A space too many within a word, and one missing between two."""
    words = text.split(" ")
    if len(words) > 2:
        place = chance.randrange(len(words) - 1)
        words[place : place + 2] = [words[place] + words[place + 1]]
    place = max(range(len(words)), key=lambda at: (len(words[at]), -at))
    middle = len(words[place]) // 2
    words[place] = f"{words[place][:middle]} {words[place][middle:]}".strip()
    return " ".join(words)


RULES: Mapping[str, Rule] = {
    "typos": typos,
    "unpunctuated": unpunctuated,
    "shouted": shouted,
    "reworded": reworded,
    "framed": framed,
    "spaced": spaced,
}


def perturbed(text: str, rule: str, seed: int) -> str:
    """The text changed by a rule; the same seed changes the same text in the same way."""
    return RULES[rule](text, chance_of(f"{seed} {rule} {text}"))


def chance_of(name: str) -> random.Random:
    """Chance that is the same for the same name, be it of characters that are none."""
    return random.Random(name.encode("utf-8", "surrogatepass"))


def _neighbour(letter: str, chance: random.Random) -> str:
    keys = NEIGHBOURS.get(letter.lower(), letter)
    key = chance.choice(keys)
    return key.upper() if letter.isupper() else key


def _cased(found: re.Match[str], word: str) -> str:
    return word[0].upper() + word[1:] if found.group()[0].isupper() else word
