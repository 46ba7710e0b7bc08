"""`scripts/bench privacy`: its test set can be trusted, and its scores are what they say."""

import doctest
from collections import Counter

from benchmarks import privacy
from benchmarks.privacy import KINDS, TEST_SET, Score, Sentence, read_test_set, score

SENTENCES = read_test_set(TEST_SET.read_text(encoding="utf-8"))


def test_the_examples_hold() -> None:
    assert doctest.testmod(privacy).failed == 0


def test_the_test_set_has_enough_of_every_kind_and_no_sentence_twice() -> None:
    counted = Counter(kind for sentence in SENTENCES for _, _, kind in sentence.values)

    assert len({sentence.text for sentence in SENTENCES}) == len(SENTENCES) >= 120
    assert set(counted) == set(KINDS)
    assert min(counted.values()) >= 10
    assert sum(not sentence.values for sentence in SENTENCES) >= 40
    assert not any("{" in sentence.text or "}" in sentence.text for sentence in SENTENCES)


def test_a_score_counts_values_that_are_covered_and_spans_that_touch_one() -> None:
    sentences = [Sentence("x" * 40, [(0, 10, "phone"), (20, 30, "phone"), (30, 40, "email")]), Sentence("none", [])]
    spans = [[(0, 9, "phone"), (20, 28, "phone"), (30, 40, "phone")], [(0, 4, "phone")]]

    assert score(sentences, spans, "phone") == Score(values=2, found=1, spans=4, right=2)
    assert score(sentences, spans, "email") == Score(values=1, found=0, spans=0, right=0)
    assert [Score(2, 1, 4, 2).cell(), Score(1, 0, 0, 0).cell()] == ["50% 50%", "0% -"]


def test_a_value_may_be_covered_by_several_spans() -> None:
    sentences = [Sentence("x" * 20, [(0, 20, "address")])]

    assert score(sentences, [[(0, 9, "address"), (10, 20, "address")]], "address").found == 1
