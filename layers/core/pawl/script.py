"""Which script a text is written in, told by the ranges of Unicode's blocks.

That is coarse and takes microseconds: what matters to a profile is that a change of language family shows.
"""

import numpy as np
from numpy.typing import NDArray

_LONGEST = 4096
"""Of longer texts the beginning is looked at."""
# Where a run of characters begins, in hexadecimal, and its script; "-" for what tells nothing: spaces and punctuation.
_RUNS = """
0 - 30 digits 3A - 41 latin 5B - 61 latin 7B - AA latin AB - BA latin BB - C0 latin D7 - D8 latin F7 - F8 latin
250 other 370 greek 400 cyrillic 530 armenian 590 hebrew 600 arabic 700 other 750 arabic 780 other 8A0 arabic
900 devanagari 980 indic E00 thai E80 other 10A0 georgian 1100 hangul 1200 other 1C80 cyrillic 1C90 other 1E00 latin
1F00 greek 2000 - 2070 other 2190 symbols 2C00 other 2C60 latin 2C80 other 2DE0 cyrillic 2E00 - 2E80 han 3000 -
3040 kana 3100 other 3130 hangul 3190 other 31F0 kana 3200 other 3400 han 4DC0 other 4E00 han A000 other A640 cyrillic
A6A0 other A720 latin A800 other AC00 hangul D7B0 other F900 han FB00 latin FB07 other FB1D hebrew FB50 arabic FE00 -
FE70 arabic FF00 - FF10 digits FF1A - FF21 latin FF3B - FF41 latin FF5B - FF66 kana FFA0 other 1F000 symbols
1FB00 other 20000 han 40000 other
"""
_WORDS = _RUNS.split()
_STARTS = np.array([int(start, 16) for start in _WORDS[::2]], np.uint32)
_NAMES = sorted(set(_WORDS[1::2]) - {"-"}, key=lambda name: (name in ("digits", "other", "symbols"), name))
_SCRIPTS = np.array([_NAMES.index(name) + 1 if name != "-" else 0 for name in _WORDS[1::2]])
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_NO_DIGITS = bytes(code for code in range(128) if not chr(code).isdigit())


def script_of(text: str) -> str:
    """The script that most of a text's letters, digits and symbols belong to, letters first; "other" without any.

    >>> script_of("Guten Morgen 2 x"), script_of("\u041f\u0440\u0438\u0432\u0435\u0442"), script_of("12 34")
    ('latin', 'cyrillic', 'digits')
    """
    text = text[:_LONGEST]
    if text.isascii():
        data = text.encode()
        letters, digits = (len(data.translate(None, others)) for others in (_NO_LETTERS, _NO_DIGITS))
        return "other" if not letters + digits else "latin" if letters >= digits else "digits"
    codes: NDArray[np.uint32] = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    counts = np.bincount(_SCRIPTS[np.searchsorted(_STARTS, codes, side="right") - 1], minlength=len(_NAMES) + 1)
    best = int(counts[1:].argmax())
    return _NAMES[best] if counts[best + 1] else "other"


def script_runs() -> tuple[list[str], list[tuple[int, str]]]:
    """For others who tell scripts: their names, the first one wins a tie; and where each run begins ("" tells nothing).

    >>> script_runs()[1][:2]
    [(0, ''), (48, 'digits')]
    """
    names = ["", *_NAMES]
    return list(_NAMES), [(start, names[script]) for start, script in zip(_STARTS.tolist(), _SCRIPTS, strict=True)]
