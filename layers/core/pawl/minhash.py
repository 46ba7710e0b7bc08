"""Texts that nearly repeat each other: MinHash of word shingles (Broder 1997), compared only where a band agrees.

A text is the set of its runs of SHINGLE words, whatever their case and punctuation. BANDS of ROWS minima each bring
texts together that share about 0.7 of their shingles or more; how much they do share is then counted exactly. A script
without spaces has one word a sentence: there only what repeats whole sentences is found.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pawl.raters import Codes

Hashes = NDArray[np.uint64]
SHINGLE = 3
BANDS, ROWS = 16, 8
THRESHOLD = 0.8
# Texts are hashed so many characters at a time: memory grows with signatures, not with texts.
_CHARACTERS_AT_ONCE = 2**20
_GOLDEN = 0x9E3779B97F4A7C15
_WORDS = re.compile(r"\w+")


def first_alike(texts: Sequence[str], threshold: float = THRESHOLD) -> Codes:
    """For each text the earliest of those that it nearly repeats, directly or through others; shape (texts,).

    Two texts repeat each other when they have a `threshold` of their shingles in common (Jaccard 1912).

    >>> first_alike(["the lamp in the hall stays dark", "Hello?", "The lamp in the hall stays dark!"]).tolist()
    [0, 1, 0]
    """
    hashed, signatures = list[Hashes](), [np.zeros((0, BANDS * ROWS), np.uint32)]
    for chunk in _chunks(texts):
        shingles = _shingles(chunk)
        hashed += shingles
        signatures.append(_signatures(shingles))
    first = np.arange(len(texts))
    for one, other in _candidates(np.concatenate(signatures)):
        if _root(first, one) != _root(first, other) and _jaccard(hashed[one], hashed[other]) >= threshold:
            low, high = sorted((_root(first, one), _root(first, other)))
            first[high] = low
    return np.array([_root(first, place) for place in range(len(texts))], np.int64)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk, held = list[str](), 0
    for text in texts:
        chunk.append(text)
        held += len(text)
        if held >= _CHARACTERS_AT_ONCE:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _shingles(texts: Sequence[str]) -> list[Hashes]:
    """The different shingles of each text, hashed; one of a text that is shorter, or has no word at all."""
    known = dict[str, int]()
    words = list[int]()
    ends = list[int]()
    for text in texts:
        found = _WORDS.findall(text.casefold()) or [text.casefold().strip()]
        words += [known.get(word) or known.setdefault(word, _hash(word)) for word in found]
        words += [0] * (SHINGLE - len(found))
        ends.append(len(words))
    hashes = np.array(words, np.uint64)
    runs = np.zeros(hashes.size - SHINGLE + 1, np.uint64)
    for place, factor in enumerate(_factors(SHINGLE, 1)):
        runs += hashes[place : place + runs.size] * factor
    runs = _mixed(runs)
    return [np.unique(runs[start : end - SHINGLE + 1]) for start, end in pairwise([0, *ends])]


def _signatures(hashed: Sequence[Hashes]) -> NDArray[np.uint32]:
    """The least value of each text's shingles under each of BANDS * ROWS hash functions, shape (texts, functions)."""
    flat = np.concatenate(hashed)
    starts = np.cumsum([0, *(shingles.size for shingles in hashed[:-1])])
    found = np.empty((len(hashed), BANDS * ROWS), np.uint32)
    shifts = _factors(BANDS * ROWS, 3)
    for place, factor in enumerate(_factors(BANDS * ROWS, 2) | np.uint64(1)):
        found[:, place] = np.minimum.reduceat((flat * factor + shifts[place]) >> np.uint64(32), starts)
    return found


def _candidates(signatures: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs of texts that agree in a band: each with the first and with the one before it there; ascending."""
    size = len(signatures)
    pairs = np.zeros(0, np.int64)
    for band in range(BANDS):
        rows = signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64)
        keys = _mixed((rows * _factors(ROWS, 4)).sum(axis=1, dtype=np.uint64))
        order = np.argsort(keys, kind="stable")
        is_first = np.append(True, keys[order][1:] != keys[order][:-1]) if size else np.zeros(0, bool)
        firsts = order[np.maximum.accumulate(np.where(is_first, np.arange(size), 0))]
        later = np.flatnonzero(~is_first)
        for earlier in (firsts[later], order[later - 1]):
            pairs = np.union1d(pairs, earlier * size + order[later])
    for pair in pairs.tolist():
        yield divmod(pair, size)


def _jaccard(one: Hashes, other: Hashes) -> float:
    common = np.intersect1d(one, other, assume_unique=True).size
    return common / (one.size + other.size - common)


def _root(first: Codes, place: int) -> int:
    while first[place] != place:
        first[place] = first[first[place]]
        place = int(first[place])
    return place


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _factors(count: int, stream: int) -> Hashes:
    """Numbers as good as random, always the same: splitmix64 (Steele, Lea, Flood 2014) from a place of its own."""
    return _mixed((np.arange(count, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(_GOLDEN))


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
