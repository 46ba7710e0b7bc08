"""In which precision a trainer multiplies: half where the machine is made for that; weights and sums stay float32."""

from typing import Any

import torch

from pawl.errors import UnsupportedRequest

BF16_OF_CPUS = ("avx512_bf16", "amx_bf16")
"""Instructions that multiply in bf16, by torch's names; a CPU without them converts back and forth and is slower."""
PRECISIONS = ("auto", "bf16", "fp16", "fp32")


def precision_here(wanted: str) -> str:
    """What a knob comes to on this machine: bf16, fp16 or fp32."""
    if torch.cuda.is_available():
        return precision(wanted, True, torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return precision(wanted, False, any(able.get(name, False) for name in BF16_OF_CPUS))


def precision(wanted: str, is_gpu: bool, has_bf16: bool) -> str:
    """`auto` is bf16 on what has it (not what emulates it), else fp16 on a GPU and float32 on a CPU.

    UnsupportedRequest for fp16 on a CPU, where its gradients have nothing to be scaled by, and for an unknown word.

    >>> precision("auto", is_gpu=True, has_bf16=False)
    'fp16'
    """
    if wanted not in PRECISIONS or (wanted == "fp16" and not is_gpu):
        where = "a GPU" if is_gpu else "a CPU"
        raise UnsupportedRequest(
            f"no precision {wanted!r} on {where}: want one of auto, bf16, fp32, on a GPU also fp16"
        )
    return ("bf16" if has_bf16 else "fp16" if is_gpu else "fp32") if wanted == "auto" else wanted


def switches(found: str) -> dict[str, Any]:
    """A precision as the trainers' arguments.

    >>> switches("fp16")
    {'bf16': False, 'fp16': True}
    """
    return {name: name == found for name in ("bf16", "fp16")}
