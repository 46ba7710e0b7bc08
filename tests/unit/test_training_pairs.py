"""The loss of a reward model, beside trl's own, and how its scores are told."""

import math

import pytest
import torch

from pawl.pairset import PairRow
from training.judge import answered
from training.pairs import divide, preference_loss
from training.verdicts import length_correlation, length_sign, preference_chances, score_pairs

NONE = torch.zeros(3)
ONES = torch.ones(3)
APART = torch.tensor([2.0, -1.0, 0.5])


def test_without_weights_margins_and_penalty_the_loss_is_bradley_terry_s() -> None:
    wanted = -torch.nn.functional.logsigmoid(APART).mean()

    assert torch.equal(preference_loss(APART, NONE, ONES, NONE, 0.0), wanted)


def test_a_row_counts_what_its_rater_is_worth() -> None:
    trusted = preference_loss(APART, NONE, torch.tensor([1.0, 0.0, 0.5]), NONE, 0.0).item()

    losses = [math.log1p(math.exp(-apart)) for apart in APART.tolist()]
    assert trusted == pytest.approx((losses[0] + 0.5 * losses[2]) / 1.5, abs=1e-6)
    assert preference_loss(APART, NONE, NONE, NONE, 0.0) == 0.0


def test_a_margin_is_by_how_much_the_better_answer_must_win() -> None:
    shifted = preference_loss(APART, torch.full((3,), 0.5), ONES, NONE, 0.0)

    assert torch.allclose(shifted, preference_loss(APART - 0.5, NONE, ONES, NONE, 0.0))


def test_the_penalty_is_the_squared_correlation_with_length_whichever_way_a_pair_is_told() -> None:
    gaps = torch.tensor([0.4, -0.2, 0.1])
    turned = torch.tensor([1.0, -1.0, 1.0])
    plain = preference_loss(APART, NONE, ONES, gaps, 0.0)

    assert preference_loss(APART, NONE, ONES, gaps, 0.3) - plain == pytest.approx(0.3, abs=1e-6)
    assert preference_loss(APART, NONE, ONES, torch.tensor([1.0, 2.0, 0.0]), 1.0) == preference_loss(
        APART, NONE, ONES, NONE, 0.0
    )
    both = [
        preference_loss(APART * sign, NONE, ONES, torch.tensor([0.4, 0.3, 0.1]) * sign, 1.0)
        - preference_loss(APART * sign, NONE, ONES, NONE, 0.0)
        for sign in (ONES, turned)
    ]
    assert both[0] == pytest.approx(both[1].item(), abs=1e-6)


def test_a_prompt_is_on_one_side_whatever_else_there_is() -> None:
    rows = [PairRow(f"prompt {number % 40}", f"good {number}", "bad") for number in range(80)]

    learned, validation = divide(rows, 0.25, seed=3)

    assert len(learned) + len(validation) == 80
    assert not {row.prompt for row in learned} & {row.prompt for row in validation}
    assert divide(rows[:40], 0.25, seed=3)[1] == validation[: len(validation) // 2]


def test_an_answer_is_what_follows_the_first_separator_and_all_of_a_row_that_lost_it() -> None:
    ids = torch.tensor([[1, 7, 2, 5, 6, 2, 0], [1, 5, 5, 5, 6, 6, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]])

    assert answered(ids, mask, 2).tolist() == [[0, 0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]


def test_scores_leave_out_what_nobody_vouches_for_and_count_a_draw_as_half() -> None:
    rows = [
        PairRow("a", "good", "bad", slices={"form": "chat"}),
        PairRow("b", "good", "bad", slices={"form": "text"}),
        PairRow("c", "good", "bad", weight=0.0),
        PairRow("d", "good", "bad"),
    ]

    scored = score_pairs(rows, torch.tensor([1.0, 0.0, -9.0, -1.0]).double().numpy(), [0.1, 0.2, 0.3, -0.1], 1.0)

    assert (scored["rows"], scored["accuracy"]) == (3, 0.5)
    assert scored["slices"] == {"form": {"chat": {"rows": 1, "accuracy": 1.0}, "text": {"rows": 1, "accuracy": 0.5}}}
    assert scored["log_loss"] == round((math.log1p(math.exp(-1)) + math.log(2) + math.log1p(math.e)) / 3, 4)


def test_chances_and_lengths_are_told_by_their_definitions() -> None:
    assert preference_chances([2.0, -2.0], 2.0).tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])
    assert length_correlation([1.0, 1.0], [1.0, -1.0]) == length_correlation([0.0], [1.0]) == 0.0
    assert (length_sign([0.5, 0.1, -0.2]), length_sign([-0.5, 0.1, -0.2])) == (1, -1)
