"""Which precision a training takes, by what is wanted and what the machine has."""

import pytest

from pawl.errors import UnsupportedRequest
from training.halves import precision, switches


@pytest.mark.parametrize(
    ("wanted", "is_gpu", "has_bf16", "found"),
    [
        ("auto", True, True, "bf16"),
        ("auto", True, False, "fp16"),
        ("auto", False, True, "bf16"),
        ("auto", False, False, "fp32"),
        ("bf16", False, False, "bf16"),
        ("fp16", True, True, "fp16"),
        ("fp32", True, True, "fp32"),
    ],
)
def test_a_precision_is_what_the_machine_is_made_for_unless_told_otherwise(
    wanted: str, is_gpu: bool, has_bf16: bool, found: str
) -> None:
    assert precision(wanted, is_gpu, has_bf16) == found


@pytest.mark.parametrize("wanted", ["fp16", "int8"])
def test_what_a_cpu_cannot_train_in_is_refused_with_what_it_can(wanted: str) -> None:
    with pytest.raises(UnsupportedRequest, match="on a CPU: want one of auto, bf16, fp32"):
        precision(wanted, is_gpu=False, has_bf16=False)


def test_a_trainer_is_told_of_one_half_precision_or_of_none() -> None:
    told = [switches(found) for found in ("bf16", "fp16", "fp32")]
    assert told == [{"bf16": True, "fp16": False}, {"bf16": False, "fp16": True}, {"bf16": False, "fp16": False}]
