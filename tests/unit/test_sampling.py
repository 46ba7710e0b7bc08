"""The choice of a token: exact numbers on small vocabularies, and a plain sort as the yardstick on larger ones."""

import math
from typing import Any

import numpy as np
import pytest

from pawl.errors import InvalidRequest, PawlError
from pawl.sampling import Sampler, Sampling, draw, likeliest

QUARTERS = np.log(np.array([0.5, 0.25, 0.125, 0.125], np.float32))


def draws(logits: Any, **settings: Any) -> list[int]:
    """The tokens that eight evenly spaced random numbers pick."""
    return [draw(np.array(logits, np.float32), Sampling(**settings), i / 8) for i in range(8)]


def random_logits(seed: int, vocabulary: int = 1000) -> Any:
    return np.random.default_rng(seed).normal(0, 2, vocabulary).astype(np.float32)


def chances_of(logits: Any, temperature: float = 1.0) -> Any:
    chances = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    return chances / chances.sum()


def test_every_token_has_its_share_of_the_random_numbers() -> None:
    assert draws(QUARTERS) == [0, 0, 0, 0, 1, 1, 2, 3]


def test_temperature_moves_the_shares() -> None:
    # Half the temperature squares the chances: 16, 4, 1 and 1 parts of 22.
    assert draws(QUARTERS, temperature=0.5) == [0, 0, 0, 0, 0, 0, 1, 1]


def test_top_k_leaves_the_likeliest() -> None:
    assert draws(QUARTERS, top_k=2) == [0, 0, 0, 0, 0, 0, 1, 1]


def test_top_p_leaves_the_fewest_that_reach_it() -> None:
    assert draws(QUARTERS, top_p=0.7) == [0, 0, 0, 0, 0, 0, 1, 1]
    assert draws(QUARTERS, top_p=0.4) == [0] * 8


def test_top_p_of_nothing_still_leaves_the_likeliest() -> None:
    assert draws(QUARTERS, top_p=0) == [0] * 8


def test_top_p_counts_within_the_top_k() -> None:
    # Of the two likeliest the first has two thirds, so 0.6 needs no second.
    assert draws(QUARTERS, top_k=2, top_p=0.6) == [0] * 8


def test_min_p_leaves_tokens_by_their_share_of_the_likeliest() -> None:
    assert draws(QUARTERS, min_p=0.4) == [0, 0, 0, 0, 0, 0, 1, 1]
    assert draws(QUARTERS, min_p=1) == [0] * 8


def test_equally_likely_tokens_are_taken_in_order() -> None:
    assert draws([0.0] * 4, top_p=0.5) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert draws([0.0] * 4, top_k=1) == [0] * 8


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9, 0.99, 0.9999])
def test_top_p_agrees_with_a_plain_sort_on_a_large_vocabulary(top_p: float) -> None:
    for seed, temperature in ((1, 1.0), (2, 2.0), (3, 0.3)):
        logits = random_logits(seed, 5000)
        chances = chances_of(logits, temperature)
        order = np.argsort(-chances, kind="stable")
        kept = set(order[: int(chances[order].cumsum().searchsorted(top_p)) + 1].tolist())
        sampling = Sampling(top_p=top_p, temperature=temperature)
        drawn = {draw(logits.copy(), sampling, i / 300) for i in range(300)}
        assert drawn <= kept
        assert {i for i in kept if chances[i] > 1.01 / 300} <= drawn


def test_drawing_block_by_block_agrees_with_the_running_sum() -> None:
    for seed in range(3):
        logits = random_logits(seed, 1111)
        sums = [0.0, *chances_of(logits).cumsum()]
        for number in (0.001, 0.2, 0.5, 0.77, 0.999):
            place = draw(logits.copy(), Sampling(), number)
            assert sums[place] - 1e-5 < number < sums[place + 1] + 1e-5


def test_the_highest_random_number_never_picks_an_impossible_token() -> None:
    logits = np.full(200, -np.inf, np.float32)
    logits[70:90] = 0.0
    assert draw(logits, Sampling(), math.nextafter(1, 0)) == 89
    assert draw(logits, Sampling(), 0.0) == 70


def test_the_likeliest_agree_with_a_plain_sort() -> None:
    for seed in range(5):
        logits = random_logits(seed).round(1)  # many equals
        for count in (1, 5, 15, 16, 200, 1000, 2000):
            assert likeliest(logits, count).tolist() == np.argsort(-logits, kind="stable")[:count].tolist()


def test_the_likeliest_are_never_impossible_ones() -> None:
    logits = np.full(1000, -np.inf, np.float32)
    logits[[3, 500]] = [1.0, 2.0]
    assert likeliest(logits, 10).tolist() == [500, 3]


def test_temperature_zero_takes_the_likeliest_whatever_the_seed() -> None:
    for seed in range(20):
        assert Sampler(Sampling(temperature=0, seed=seed), [], 4).choose(QUARTERS.copy()).token == 0


def test_the_same_seed_gives_the_same_tokens() -> None:
    def tokens(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(seed=seed), [], 1000)
        return [sampler.choose(np.zeros(1000, np.float32)).token for _ in range(20)]

    assert tokens(7) == tokens(7)
    assert tokens(-7) == tokens(-7)
    assert tokens(7) != tokens(-7)
    assert tokens(7) != tokens(8)
    assert tokens(None) != tokens(None)


def test_log_probabilities_are_the_models_own() -> None:
    sampling = Sampling(temperature=0, repetition_penalty=2, top_logprobs=2)
    allowed = np.array([False, True, True, True])
    choice = Sampler(sampling, [1], 4).choose(QUARTERS.copy(), allowed)
    # The penalty doubles log(1/4): two tokens of 1/8 each are likelier now.
    assert choice.token == 2
    assert choice.logprob == pytest.approx(math.log(0.125), abs=1e-6)
    assert [token for token, _ in choice.top] == [0, 1]
    assert [value for _, value in choice.top] == pytest.approx([math.log(0.5), math.log(0.25)], abs=1e-6)


def test_no_likeliest_tokens_are_listed_unless_asked_for() -> None:
    for count in (None, 0):
        assert Sampler(Sampling(top_logprobs=count), [], 4).choose(QUARTERS.copy()).top == ()


def test_a_token_that_is_not_allowed_is_never_chosen() -> None:
    sampler = Sampler(Sampling(seed=1, top_p=0.9), [], 4)
    allowed = np.array([False, False, False, True])
    assert {sampler.choose(QUARTERS.copy(), allowed).token for _ in range(20)} == {3}


def test_the_repetition_penalty_looks_at_prompt_and_text() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1.5), [0], 4)
    tokens = [sampler.choose(np.array([3.0, 2.5, 2.0, -1.0], np.float32)).token for _ in range(3)]
    # 3 / 1.5 = 2 for the prompt's token; then 2.5 / 1.5 = 1.67; 2 is the highest from there on, token 0 before token 2.
    assert tokens == [1, 0, 0]


def test_the_repetition_penalty_makes_negative_logits_lower() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1.5), [0], 2)
    assert sampler.choose(np.array([-1.0, -1.4], np.float32)).token == 1


def test_the_presence_penalty_counts_a_token_of_the_text_once() -> None:
    sampler = Sampler(Sampling(temperature=0, presence_penalty=1), [0, 0, 0], 2)
    tokens = [sampler.choose(np.array([1.5, 1.0], np.float32)).token for _ in range(4)]
    assert tokens == [0, 1, 0, 0]


def test_the_frequency_penalty_counts_every_time() -> None:
    sampler = Sampler(Sampling(temperature=0, frequency_penalty=1), [1, 1, 1], 2)
    tokens = [sampler.choose(np.array([2.5, 1.0], np.float32)).token for _ in range(5)]
    assert tokens == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("spoilt", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
@pytest.mark.parametrize("temperature", [0, 1])
def test_logits_that_are_no_numbers_are_an_error_of_ours(spoilt: list[float], temperature: float) -> None:
    with pytest.raises(PawlError, match="finite"):
        Sampler(Sampling(temperature=temperature), [], 2).choose(np.array(spoilt, np.float32))


def test_nothing_allowed_is_an_error_of_ours() -> None:
    with pytest.raises(PawlError, match="finite"):
        Sampler(Sampling(temperature=0), [], 4).choose(QUARTERS.copy(), np.zeros(4, bool))


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("temperature", -0.1, "from 0 to 2"),
        ("temperature", 2.1, "from 0 to 2"),
        ("temperature", math.nan, "from 0 to 2"),
        ("temperature", "1", "a number"),
        ("temperature", True, "a number"),
        ("top_p", 1.1, "from 0 to 1"),
        ("min_p", -1, "from 0 to 1"),
        ("top_k", -1, "from 0"),
        ("top_k", 1.5, "a whole number"),
        ("top_k", None, "a whole number"),
        ("max_tokens", 0, "from 1"),
        ("max_tokens", True, "a whole number"),
        ("repetition_penalty", 0, "from 0.1 to 10"),
        ("presence_penalty", 3, "from -2 to 2"),
        ("frequency_penalty", -3, "from -2 to 2"),
        ("seed", 2**63, "a whole number"),
        ("seed", "1", "a whole number"),
        ("top_logprobs", 21, "from 0 to 20"),
        ("stop", ("",), "1 to 256 characters"),
        ("stop", ("x" * 257,), "1 to 256 characters"),
        ("stop", tuple("abcdefghijklmnopq"), "at most 16"),
        ("stop", (5,), "at most 16"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_range(field: str, value: Any, wanted: str) -> None:
    with pytest.raises(InvalidRequest, match=wanted) as refused:
        Sampling(**{field: value})
    assert str(refused.value).startswith(field)


@pytest.mark.parametrize("asked", [{"json": True}, {"json_schema": {"type": "object"}}])
def test_a_stop_string_that_could_cut_json_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="stop cannot be combined with JSON"):
        Sampling(stop=("}",), **asked)
