"""What a run took: seconds that are measured, and energy, emissions and money that are estimated from them.

The assumptions stand beside the figures, in manifest and card: nobody has metered the machine.
"""

import os
from dataclasses import dataclass

import torch

WATTS = {"T4": 70, "L4": 72, "A10": 150, "V100": 300, "A100": 400, "H100": 700, "H200": 700}
"""What an accelerator may draw at most, by its maker's data sheet; the name's first match counts."""
OTHER_WATTS = 300
WATTS_A_CORE = 10
"""Of a CPU and what is around it, a custom guess for servers."""
HOURLY_USD = {"T4": 0.526, "A10": 1.006, "V100": 3.06}
"""AWS's list price on demand, us-east-1, June 2025, of the smallest instance with one: g4dn, g5, p3."""
CORE_HOURLY_USD = 0.04048
"""AWS Fargate's list price of a vCPU, us-east-1, June 2025."""
GRAMS_A_KWH = 400
"""Of CO2 by the world's mean grid, rounded."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Device, seconds and the watts assumed; energy in kWh, CO2 in grams; dollars, None where no price is known."""

    device: str
    seconds: float
    watts: float
    kwh: float
    grams_co2: float
    usd: float | None


def footprint(seconds: float) -> Footprint:
    """The footprint of a run so far on this machine: on its first accelerator, or on the cores that torch works on."""
    if torch.cuda.is_available():
        return of_accelerator(torch.cuda.get_device_name(0), seconds)
    return of_cores(min(torch.get_num_threads(), os.cpu_count() or 1), seconds)


def of_accelerator(device: str, seconds: float) -> Footprint:
    """One accelerator at its full draw.

    >>> of_accelerator("Tesla T4", 1800).kwh
    0.035
    """
    kind = next((name for name in sorted(WATTS, key=len, reverse=True) if name in device), "")
    price = HOURLY_USD.get(kind)
    return _estimate(device, seconds, WATTS.get(kind, OTHER_WATTS), price)


def of_cores(cores: int, seconds: float) -> Footprint:
    """Some cores of a CPU, all busy."""
    return _estimate(f"{cores} CPU cores", seconds, cores * WATTS_A_CORE, cores * CORE_HOURLY_USD)


def _estimate(device: str, seconds: float, watts: float, hourly_usd: float | None) -> Footprint:
    hours = seconds / 3600
    kwh = round(hours * watts / 1000, 6)
    usd = None if hourly_usd is None else round(hours * hourly_usd, 4)
    return Footprint(device, round(seconds, 1), watts, kwh, round(kwh * GRAMS_A_KWH, 2), usd)
