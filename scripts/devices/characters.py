"""What BERT's tokenizer makes of each character, as the page is told it: ranges of code points by what happens to them.

A browser has its own version of Unicode, newer than the tokenizer's and different on every device. So the page is told
what the tokenizers library does, found by asking it about every character there is; ids are equal everywhere then.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from artifacts.target import BuildError

Ranges = list[list[int]]
_BETWEEN = "0"
"""Stands between the characters that are asked about; nothing decomposes into it, and no mark reaches across it."""
_ALL = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000 and chr(code) != _BETWEEN]
_STAGES: Mapping[str, str] = {
    "clean_text": "removed",
    "handle_chinese_chars": "isolated",
    "strip_accents": "decomposed",
    "lowercase": "lowered",
}
_PARTS: Mapping[str, tuple[str, ...]] = {
    "normalizer": ("BertNormalizer",),
    "pre_tokenizer": ("BertPreTokenizer",),
    "model": ("WordPiece",),
    "post_processor": ("TemplateProcessing", "BertProcessing"),
}


def require_known(told: Mapping[str, Any]) -> None:
    """BuildError unless the page can do what this tokenizer.json asks for."""
    for part, types in _PARTS.items():
        found = told[part]["type"] if told.get(part) else None
        if found not in types:
            raise BuildError(f"tokenizer.json: its {part} is {found}; a page knows {' or '.join(types)} only")
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    if any(token[flag] for token in told["added_tokens"] for flag in flags):
        raise BuildError(f"tokenizer.json: a page knows added tokens without {', '.join(flags)} only")


def around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids before a text's own and those after it."""
    ids: list[int] = tokenizer.encode("").ids
    whole: list[int] = tokenizer.encode("a", add_special_tokens=True).ids
    own: list[int] = tokenizer.encode("a", add_special_tokens=False).ids
    start = next(at for at in range(len(whole)) if whole[at : at + len(own)] == own)
    return ids[:start], ids[start:]


@cache
def character_ranges() -> dict[str, Ranges]:
    """Ranges of code points, ends included, by what becomes of them.

    removed, isolated (a word each), decomposed (by NFD), marks (dropped after it), lowered, spaces, punctuation.
    """
    found = dict[str, Ranges]()
    for flag, name in _STAGES.items():
        became = _normalized(BertNormalizer(**{each: each == flag for each in _STAGES}))
        if flag == "strip_accents":
            found["marks"] = _ranges(became, _is_gone)
        found[name] = _ranges(became, _is_gone if flag == "clean_text" else _is_changed)
    return found | _cuts()


def _is_gone(code: int, became: str) -> bool:
    return not became


def _is_changed(code: int, became: str) -> bool:
    return became not in ("", chr(code))


def _normalized(normalizer: BertNormalizer) -> list[tuple[int, str]]:
    text = _BETWEEN.join(map(chr, _ALL))
    return list(zip(_ALL, normalizer.normalize_str(text).split(_BETWEEN), strict=True))


def _cuts() -> dict[str, Ranges]:
    """Where the text is cut: at spaces, which vanish, and before and after punctuation."""
    pieces = BertPreTokenizer().pre_tokenize_str(_BETWEEN.join(map(chr, _ALL)))
    punctuation = {piece for piece, _ in pieces if len(piece) == 1 and piece != _BETWEEN}
    kept = {character for piece, _ in pieces for character in piece}
    codes = [(code, chr(code)) for code in _ALL]
    return {
        "spaces": _ranges(codes, lambda code, text: text not in kept),
        "punctuation": _ranges(codes, lambda code, text: text in punctuation),
    }


def _ranges(became: Iterable[tuple[int, str]], is_one: Callable[[int, str], bool]) -> Ranges:
    ranges: Ranges = []
    for code, text in became:
        if not is_one(code, text):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return ranges
