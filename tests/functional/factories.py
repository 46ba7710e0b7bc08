"""Models of somebody's own, as `scripts/build-model` is given them, trained in moments on scikit-learn's own sets."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

Rows = tuple[np.ndarray, np.ndarray]


@cache
def tumours() -> Rows:
    rows, labels = load_breast_cancer(return_X_y=True)
    return rows.astype(np.float32), np.where(labels == 1, "benign", "malignant")


@cache
def patients() -> Rows:
    rows, progress = load_diabetes(return_X_y=True)
    return rows.astype(np.float32), progress


@cache
def digits() -> Rows:
    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 1, 8, 8).astype(np.float32) / 16, labels


def logistic() -> BaseEstimator:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(*tumours())


def boosting() -> BaseEstimator:
    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(*tumours())


def lightgbm() -> BaseEstimator:
    return LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1, random_state=0).fit(*tumours())


def lightgbm_regression() -> BaseEstimator:
    return LGBMRegressor(n_estimators=20, n_jobs=1, verbose=-1, random_state=0).fit(*patients())


def forest() -> BaseEstimator:
    return RandomForestRegressor(n_estimators=8, max_depth=6, random_state=0).fit(*patients())


def perceptron() -> BaseEstimator:
    network = MLPClassifier((128, 64), max_iter=200, random_state=0, early_stopping=True)
    return make_pipeline(StandardScaler(), network).fit(*tumours())


def image_classifier() -> tuple[nn.Module, torch.Tensor]:
    """Two convolutions on digits of 8 x 8, trained for six passes."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    images, labels = (torch.from_numpy(each[::2]) for each in digits())
    learner = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(6):
        for start in range(0, len(images), 64):
            learner.zero_grad()
            nn.functional.cross_entropy(network(images[start : start + 64]), labels[start : start + 64]).backward()
            learner.step()
    return network.eval(), images[:2]


class TwoHeads(nn.Module):
    """Two inputs, two outputs, and a product of a whole matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(64, 32)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.wide(left)
        return hidden, (hidden * right).sum(-1)


def two_heads() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(3)
    return TwoHeads(), (torch.randn(3, 64), torch.randn(3, 32))


def nothing() -> Any:
    return {"a": "dictionary"}


def save_rows(path: Path, rows: Rows, label: str = "") -> Path:
    """Rows of numbers as a CSV or Parquet file with a column of labels, or arrays as an `.npz`."""
    import pandas

    values, labels = rows
    if path.suffix == ".npz":
        np.savez(path, **{"input": values, label or "labels": labels})
        return path
    table = pandas.DataFrame(values, columns=[f"feature_{i}" for i in range(values.shape[1])])
    if label:
        table[label] = labels
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path
