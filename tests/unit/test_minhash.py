"""Near duplicates: found where texts share most of their shingles, and never where they do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.minhash import SHINGLE, first_alike

WORDS = [f"word{n}" for n in range(400)]


def _text(seed: int, words: int = 40) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.casefold().split()
    return {tuple(words[place : place + SHINGLE]) for place in range(len(words) - SHINGLE + 1)}


def _jaccard(one: str, other: str) -> float:
    left, right = _shingles(one), _shingles(other)
    return len(left & right) / len(left | right)


@pytest.mark.parametrize(
    "other", [_text(1).upper(), f"  {_text(1)}!", _text(1).replace(" ", ", "), f"{_text(1)} indeed", _text(1)[6:]]
)
def test_case_punctuation_and_a_word_at_an_end_make_no_other_text(other: str) -> None:
    assert first_alike([_text(1), _text(2), other]).tolist() == [0, 1, 0]


def test_texts_that_share_less_than_the_threshold_are_kept_apart() -> None:
    base = _text(1).split()
    changed = [" ".join([*base[:place], "other", *base[place + 1 :]]) for place in (10, 20, 30)]
    both = " ".join(["other" if place in (10, 20, 30) else word for place, word in enumerate(base)])

    assert _jaccard(" ".join(base), changed[0]) > 0.8 > _jaccard(" ".join(base), both)
    assert first_alike([" ".join(base), changed[0]]).tolist() == [0, 0]
    assert first_alike([" ".join(base), both]).tolist() == [0, 1]


def test_the_threshold_is_of_common_shingles_exactly() -> None:
    base, other = "a b c d e f g h i j", "a b c d e f g h i z"
    share = _jaccard(base, other)

    assert share == 7 / 9
    assert first_alike([base, other], threshold=share).tolist() == [0, 0]
    assert first_alike([base, other], threshold=share + 1e-9).tolist() == [0, 1]


def test_of_many_texts_with_repeats_each_repeat_is_found_and_nothing_else() -> None:
    texts = [_text(seed) for seed in range(500)]
    repeats = [f"please {text}" for text in texts[::5]]

    found = first_alike([*texts, *repeats])

    assert found[:500].tolist() == list(range(500))
    assert found[500:].tolist() == list(range(0, 500, 5))


def test_a_chain_of_repeats_goes_back_to_its_first() -> None:
    words = _text(3, 60).split()
    chain = [" ".join(words[shift : shift + 40]) for shift in (0, 3, 6)]

    assert _jaccard(chain[0], chain[2]) < 0.8 < _jaccard(chain[0], chain[1])
    assert first_alike(chain).tolist() == [0, 0, 0]


def test_short_texts_repeat_only_what_has_the_same_words() -> None:
    texts = ["yes", "no", "Yes!", "no light", "light no", "", "?", "?", "\U0001f600", "\U0001f600"]

    assert first_alike(texts).tolist() == [0, 1, 0, 3, 4, 5, 6, 6, 8, 8]


def test_nothing_is_alike_among_no_texts_and_one_long_text_is_itself() -> None:
    assert first_alike([]).tolist() == []
    assert first_alike(["long " * 300_000, "short", "long " * 300_001]).tolist() == [0, 1, 0]


@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_text_is_alike_to_itself_said_again_and_to_none_that_comes_later(texts: list[str]) -> None:
    once, twice = first_alike(texts), first_alike([*texts, *texts])

    assert all(first <= place for place, first in enumerate(once.tolist()))
    assert twice[: len(texts)].tolist() == twice[len(texts) :].tolist() == once.tolist()
