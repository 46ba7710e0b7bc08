"""The pieces of alignment that need no model: what is better, how far it went, who wins, and what a weight does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pawl.errors import InvalidBundle, InvalidDataset
from pawl.pairset import PairRow
from pawl.winning import wilson, win_rate
from training.adapter import describe, joined, merge, packed, unpacked
from training.align_knobs import Knobs
from training.divergence import divergence
from training.looks import Look, gold, has_fallen, is_better, is_over_optimized
from training.trainers import WEIGHT, alike, pair_rows, prompt_rows, scale_gradient, thumb_rows
from training.tuning import divide, reward_function

LOOK = Look(10, 1.0, 0.7, 0.02, 0.8, 0.01, 1.0, 0.1, 40.0)
ROWS = [PairRow(f"question {i}", "yes", "no", weight=1.0 + i) for i in range(4)]


# --- Over-optimization ------------------------------------------------------------------------------------------------


def test_a_higher_reward_is_better_while_gold_stays_within_its_error() -> None:
    assert is_better(replace(LOOK, reward=1.1, gold=0.69), LOOK, LOOK, most_kl=10.0)


def test_a_higher_reward_with_less_gold_is_over_optimized_and_not_better() -> None:
    worse = replace(LOOK, reward=1.5, gold=0.6)
    assert is_over_optimized(worse, LOOK, LOOK)
    assert not is_better(worse, LOOK, LOOK, most_kl=10.0)


def test_less_gold_with_a_lower_reward_is_no_over_optimization() -> None:
    worse = replace(LOOK, reward=0.5, gold=0.6)
    assert has_fallen(worse, LOOK)
    assert not is_over_optimized(worse, LOOK, LOOK)


def test_gold_that_has_fallen_by_its_error_twice_is_over_optimized_although_the_best_look_was_in_between() -> None:
    best, lower = replace(LOOK, reward=1.5, gold=0.685), replace(LOOK, reward=2.0, gold=0.67)
    assert is_better(best, LOOK, LOOK, most_kl=10.0)
    assert is_over_optimized(lower, best, LOOK)
    assert not is_better(lower, best, LOOK, most_kl=10.0)


def test_more_gold_is_better_even_for_less_reward() -> None:
    assert is_better(replace(LOOK, reward=0.9, gold=0.8), LOOK, LOOK, most_kl=10.0)


def test_nothing_beyond_the_divergence_allowed_is_better() -> None:
    assert not is_better(replace(LOOK, reward=2.0, kl_per_answer=10.1), LOOK, LOOK, most_kl=10.0)


def test_gold_counts_pairs_by_what_their_raters_are_worth() -> None:
    mean, error, accuracy = gold(np.array([math.log(3), -math.log(3)]), np.array([3.0, 1.0]))
    assert mean == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)
    assert accuracy == 0.75
    assert error == pytest.approx(math.hypot(0.75 * 0.125, 0.25 * 0.375))


# --- Divergence -------------------------------------------------------------------------------------------------------


def test_the_estimate_is_the_divergence_of_two_coins() -> None:
    random = np.random.default_rng(4)
    heads = random.random((4000, 5)) < 0.8
    ours = [np.log(np.where(row, 0.8, 0.2)) for row in heads]
    theirs = [np.log(np.where(row, 0.5, 0.5)) for row in heads]
    exact = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    found = divergence(ours, theirs)
    assert found.per_token == pytest.approx(exact, abs=0.005)
    assert abs(found.per_answer - 5 * exact) < 3 * found.error


# --- Who wins ---------------------------------------------------------------------------------------------------------


def test_ties_count_half_and_leave_the_interval_around_one_half() -> None:
    won = win_rate([1.0] * 40, [1.0] * 40)
    assert (won.rate, won.ties) == (0.5, 40)
    assert (won.low, won.high) == (0.3520, 0.6480)


def test_wilson_s_interval_is_the_textbook_s() -> None:
    low, high = wilson(0.8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


def test_winning_always_is_not_certain() -> None:
    low, high = wilson(1.0, 10)
    assert (round(low, 4), high) == (0.7225, pytest.approx(1.0))


# --- Rows and their weights -------------------------------------------------------------------------------------------


def test_a_row_s_weight_scales_its_gradient_and_leaves_its_value() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], requires_grad=True)
    scaled = scale_gradient(values, torch.tensor([0.5, 2.0]))
    scaled.sum().backward()
    assert scaled.tolist() == values.tolist()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0.5], [2.0, 2.0], [0.5, 0.5], [2.0, 2.0]]


def test_weights_have_a_mean_of_one() -> None:
    assert pair_rows(ROWS)[WEIGHT] == [0.4, 0.8, 1.2, 1.6]
    assert thumb_rows(ROWS)[WEIGHT] == [0.4, 0.4, 0.8, 0.8, 1.2, 1.2, 1.6, 1.6]


def test_a_row_without_one_of_its_answers_is_a_thumb() -> None:
    rows = [PairRow("a", "good", ""), PairRow("b", "", "bad")]
    assert [(row["completion"], row["label"]) for row in thumb_rows(rows)] == [("good", True), ("bad", False)]


def test_a_prompt_is_asked_once_however_often_its_answers_were_compared() -> None:
    assert [row["prompt"] for row in prompt_rows([*ROWS, *ROWS])] == [row.prompt for row in ROWS]


def test_the_rarer_kind_of_prompt_is_left_out() -> None:
    chat = PairRow([{"role": "user", "content": "Hi"}], "Hello!", "What?")
    assert alike([chat, *ROWS]) == ROWS
    assert alike([chat]) == [chat]


def test_a_prompt_is_learned_from_or_looked_at_and_never_both() -> None:
    rows = [*ROWS, *ROWS, PairRow("thumb", "good", "")]
    learned, held_back = divide(rows, Knobs(gold_share=0.25, seed=3))
    assert len({row.prompt for row in held_back}) == 1
    assert {row.prompt for row in learned} | {row.prompt for row in held_back} == {row.prompt for row in rows}
    assert not {row.prompt for row in learned} & {row.prompt for row in held_back}
    assert rows[-1] in learned


def test_thumbs_hold_prompts_back_for_kto_alone() -> None:
    rows = [PairRow("a", "good", ""), PairRow("b", "", "bad")]
    assert len(divide(rows, Knobs(method="kto", gold_share=0.5))[1]) == 1
    with pytest.raises(InvalidDataset, match="0 prompts that dpo learns from"):
        divide(rows, Knobs(method="dpo"))


def test_comparisons_of_one_prompt_alone_are_refused() -> None:
    with pytest.raises(InvalidDataset, match="1 prompts"):
        divide([ROWS[0], ROWS[0]], Knobs(gold_share=0.5))


def test_the_judge_is_asked_for_texts_whatever_trl_hands_over() -> None:
    reward = reward_function(lambda prompts, texts: np.array([float(len(text)) for text in texts]))
    messages = [[{"role": "assistant", "content": "four"}]]
    assert reward(["a"], ["two"]) == [3.0]
    assert reward([[{"role": "user", "content": "a"}]], messages, trainer_state=None) == [4.0]


# --- Adapters ---------------------------------------------------------------------------------------------------------

FIRST, SECOND = "base_model.model.layer.lora_A.weight", "base_model.model.layer.lora_B.weight"


def adapter(seed: int, rank: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {FIRST: torch.randn(rank, 3), SECOND: torch.randn(5, rank)}


def test_adapters_side_by_side_do_what_they_did_in_turn() -> None:
    parent, child = adapter(1, 2), adapter(2, 4)
    both = joined(parent, child, scale=2.0)
    wanted = parent[SECOND] @ parent[FIRST] + 2.0 * child[SECOND] @ child[FIRST]
    assert torch.allclose(both[SECOND] @ both[FIRST], wanted, atol=1e-5)
    assert both[FIRST].shape == (6, 3)


def test_an_adapter_survives_its_files_and_is_refused_when_they_changed() -> None:
    weights = adapter(1, 2)
    files = packed(weights)
    about = describe(files)
    assert about["rank"] == 2
    assert all(torch.equal(unpacked(files, about)[name], tensor) for name, tensor in weights.items())
    with pytest.raises(InvalidBundle, match="not the adapter"):
        unpacked(packed(adapter(9, 2)), about)


def test_merging_adds_the_adapter_s_product_to_its_layer() -> None:
    model = torch.nn.ModuleDict({"layer": torch.nn.Linear(3, 5, bias=False)})
    before = model["layer"].weight.detach().clone()
    weights = adapter(1, 2)
    merge(model, weights)  # pyright: ignore[reportArgumentType]
    assert torch.allclose(model["layer"].weight, before + weights[SECOND] @ weights[FIRST])
