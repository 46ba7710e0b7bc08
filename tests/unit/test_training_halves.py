"""Which precision a training takes, by what is wanted and what the machine has."""

import pytest

from pawl.errors import UnsupportedRequest
from training.halves import precision


@pytest.mark.parametrize(
    ("wanted", "is_gpu", "has_bf16", "found"),
    [
        ("auto", True, True, "bf16"),
        ("auto", True, False, "fp16"),
        ("auto", False, True, "bf16"),
        ("auto", False, False, ""),
        ("bf16", False, False, "bf16"),
        ("fp16", True, True, "fp16"),
        ("fp32", True, True, ""),
    ],
)
def test_a_precision_is_what_the_machine_is_made_for_unless_told_otherwise(
    wanted: str, is_gpu: bool, has_bf16: bool, found: str
) -> None:
    assert precision(wanted, is_gpu, has_bf16) == {name: name == found for name in ("bf16", "fp16")}


@pytest.mark.parametrize("wanted", ["fp16", "int8"])
def test_what_a_cpu_cannot_train_in_is_refused_with_what_it_can(wanted: str) -> None:
    with pytest.raises(UnsupportedRequest, match="on a CPU: want one of auto, bf16, fp32"):
        precision(wanted, is_gpu=False, has_bf16=False)
