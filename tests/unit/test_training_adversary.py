"""The attack along gradients: as strong as theory says on a linear model, and never beyond its reach."""

import pytest
import torch
from torch import nn

from training.adversary import projected_gradient

WEIGHTS = torch.tensor([[2.0, -1.0, 0.5], [-2.0, 1.0, -0.5]])


@pytest.fixture
def linear() -> nn.Module:
    layer = nn.Linear(3, 2, bias=False)
    layer.weight = nn.Parameter(WEIGHTS.clone(), requires_grad=False)
    return layer


def _losses(module: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(module(rows), labels, reduction="none")


def test_a_linear_model_is_moved_to_the_worst_corner_of_the_reach(linear: nn.Module) -> None:
    torch.manual_seed(1)
    rows, labels = torch.randn(50, 3), torch.randint(2, (50,))
    reach = torch.tensor([0.3, 0.2, 0.1])

    moved = projected_gradient(linear, rows, labels, reach)

    away = torch.where(labels[:, None] == 0, -1.0, 1.0) * torch.sign(WEIGHTS[0])
    assert torch.allclose(moved, rows + away * reach, atol=1e-6)


def test_no_value_is_moved_beyond_its_reach_and_none_that_has_none() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).requires_grad_(False)
    rows, labels = torch.randn(40, 4), torch.randint(3, (40,))
    reach = torch.tensor([0.0, 0.1, 0.5, 2.0])

    moved = projected_gradient(network, rows, labels, reach)

    assert torch.all((moved - rows).abs() <= reach + 1e-6)
    assert torch.equal(moved[:, 0], rows[:, 0])


def test_an_attack_is_never_worse_for_the_attacker_than_none_or_chance_and_the_same_each_time() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)).requires_grad_(False)
    rows, labels, reach = torch.randn(40, 4), torch.randint(3, (40,)), torch.full((4,), 0.2)

    moved = projected_gradient(network, rows, labels, reach)

    assert torch.all(_losses(network, moved, labels) >= _losses(network, rows, labels))
    by_chance = rows + reach * torch.sign(torch.randn(rows.shape))
    assert torch.all(_losses(network, moved, labels) >= _losses(network, by_chance, labels) - 1e-6)
    assert torch.equal(moved, projected_gradient(network, rows, labels, reach))
