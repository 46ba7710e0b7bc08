"""Labelled rows for a model of tensors, in one `.npz` file that numpy alone reads and writes; no pickle.

input.<name>       the values of an input, rows first, as the manifest declares it
label              the true label of each row, as text or as its place among the manifest's labels
slice.<attribute>  an attribute of each row to judge fairness by, as text; may be absent
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pawl.bundle import Manifest
from pawl.dataset import Row
from pawl.errors import InvalidDataset

Array = np.ndarray[Any, np.dtype[Any]]
Floats = NDArray[np.float64]
_INPUT, _LABEL, _SLICE = "input.", "label", "slice."


@dataclass(frozen=True, slots=True)
class TensorSet:
    """Rows of tensors by input name, and of each row its number as text, its true label and its slices."""

    inputs: Mapping[str, Array]
    rows: Sequence[Row]

    def question(self, row: int) -> dict[str, Array]:
        """One row as a batch of its own."""
        return {name: values[row : row + 1] for name, values in self.inputs.items()}

    @property
    def real(self) -> list[str]:
        """The inputs that hold real numbers, which can be moved a little."""
        return [name for name, values in self.inputs.items() if values.dtype.kind == "f"]

    def numbers(self, row: int) -> Floats:
        """A row's real numbers, input after input, shape (numbers,)."""
        return np.concatenate([self.inputs[name][row].ravel().astype(float) for name in self.real])

    def deviations(self) -> Floats:
        """The standard deviation of each real number over all rows, shape (numbers,)."""
        return np.concatenate([self.inputs[name].astype(float).std(axis=0).ravel() for name in self.real])

    def moved(self, row: int, numbers: Floats) -> dict[str, Array]:
        """One row as a batch of its own, with other real numbers."""
        question, start = self.question(row), 0
        for name in self.real:
            was = question[name]
            question[name] = numbers[start : start + was.size].reshape(was.shape).astype(was.dtype)
            start += was.size
        return question


def read_tensor_set(data: bytes, manifest: Manifest) -> TensorSet:
    """The rows in a file, checked against the model's signature; InvalidDataset says what does not fit."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays: dict[str, Array] = {name: file[name] for name in file.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidDataset(f"no .npz file of plain arrays: {error}") from error
    inputs = {name.removeprefix(_INPUT): array for name, array in arrays.items() if name.startswith(_INPUT)}
    wanted = {tensor.name: tensor.shape for tensor in manifest.inputs}
    if set(inputs) != set(wanted) or _LABEL not in arrays:
        names = [*(_INPUT + name for name in wanted), _LABEL]
        raise InvalidDataset(f"holds {sorted(arrays)}: want {names}, and slice.<attribute> for fairness")
    for name, shape in wanted.items():
        found = list(inputs[name].shape)
        if len(found) != len(shape) or any(size not in (-1, got) for size, got in zip(shape, found, strict=True)):
            raise InvalidDataset(f"{_INPUT}{name} has the shape {found}: the model wants {shape}")
    columns = {name.removeprefix(_SLICE): array for name, array in arrays.items() if name.startswith(_SLICE)}
    sizes = {len(array) for array in (*inputs.values(), arrays[_LABEL], *columns.values())}
    if len(sizes) > 1 or 0 in sizes:
        raise InvalidDataset(f"arrays of {sorted(sizes)} rows: want the same number, and one at least")
    slices = [{name: str(array[row]) for name, array in columns.items()} for row in range(len(arrays[_LABEL]))]
    labels = _labels(arrays[_LABEL], manifest.labels)
    return TensorSet(inputs, [Row(f"row {n}", label, slices[n], "given") for n, label in enumerate(labels)])


def _labels(told: Array, names: Sequence[str]) -> list[str]:
    if told.dtype.kind in "iu":
        if told.min() < 0 or told.max() >= len(names):
            raise InvalidDataset(f"labels from {told.min()} to {told.max()}: the model has {len(names)}")
        return [str(names[place]) for place in told.tolist()]
    if told.dtype.kind == "U":
        return [str(each) for each in told.tolist()]
    raise InvalidDataset(f"labels of type {told.dtype}: want text or whole numbers")
