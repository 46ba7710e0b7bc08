"""Data of somebody's own, as the inputs of a graph: NumPy's `.npz`, CSV with a header, or Parquet.

In an `.npz` an array has an input's name; a table's columns are a graph's only input side by side, where that takes as
many, else each is the input of its name. A column of labels, if it is named, is what answers are judged by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.bundle import Tensor
from pawl.errors import InvalidDataset
from training.products import Feed

DTYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object"}


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs by name, and, where there are any, the true answers (rows,)."""

    feed: Feed
    labels: NDArray[Any] | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.feed.values())))

    def of(self, places: slice) -> "Rows":
        """Only some of the rows."""
        labels = None if self.labels is None else self.labels[places]
        return Rows({name: array[places] for name, array in self.feed.items()}, labels)


def read_rows(path: Path, inputs: Sequence[Tensor], label: str = "") -> Rows:
    """The rows in a file for a graph that takes `inputs`; InvalidDataset says what does not fit."""
    columns = _columns(path)
    labels = columns.pop(label) if label in columns else None
    if label and labels is None:
        raise InvalidDataset(f"{path.name} has no column {label!r}: it has {', '.join(columns)}")
    feed = {tensor.name: _typed(path, tensor, _values(path, tensor, inputs, columns)) for tensor in inputs}
    counts = {len(array) for array in feed.values()} | ({len(labels)} if labels is not None else set())
    if len(counts) != 1 or min(counts) < 4:
        raise InvalidDataset(f"{path.name}: want at least 4 rows, as many in each column: there are {sorted(counts)}")
    return Rows(feed, labels)


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        if suffix in (".csv", ".parquet"):
            from pyarrow import csv, parquet

            table = csv.read_csv(path) if suffix == ".csv" else parquet.read_table(path)
            return {name: table[name].to_numpy() for name in table.column_names}
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InvalidDataset(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error
    raise InvalidDataset(f"{path.name}: want a file that ends in .npz, .csv or .parquet")


def _values(path: Path, tensor: Tensor, inputs: Sequence[Tensor], columns: dict[str, NDArray[Any]]) -> NDArray[Any]:
    if tensor.name in columns:
        return columns[tensor.name]
    if len(inputs) == 1 and len(columns) == 1:
        return next(iter(columns.values()))
    flat = [array for array in columns.values() if array.ndim == 1]
    if len(inputs) == 1 and len(tensor.shape) == 2 and len(flat) == len(columns) and tensor.shape[1] in (-1, len(flat)):
        return np.stack(flat, axis=1)
    raise InvalidDataset(
        f"{path.name} has the columns {', '.join(columns)}: want {tensor.name!r}, or for a graph of one input as many "
        f"columns as it takes ({tensor.shape})"
    )


def _typed(path: Path, tensor: Tensor, values: NDArray[Any]) -> NDArray[Any]:
    if len(tensor.shape) == 2 and values.ndim == 1:
        values = values.reshape(-1, 1)
    fits = values.ndim == len(tensor.shape) and all(
        want in (-1, got) for want, got in zip(tensor.shape, values.shape, strict=True)
    )
    if not fits:
        raise InvalidDataset(f"{path.name}: {tensor.name!r} is of shape {list(values.shape)}: want {tensor.shape}")
    try:
        return values.astype(DTYPES.get(tensor.datatype) or tensor.datatype.lower())
    except (TypeError, ValueError) as error:
        raise InvalidDataset(f"{path.name}: {tensor.name!r} holds what is no {tensor.datatype}") from error
