"""A model's own word on whom to believe."""

import pytest

from pawl.errors import SettingsError
from pawl.suspicion import Policy
from retrain.trust import Trust


def test_what_a_file_leaves_out_keeps_its_default() -> None:
    trust = Trust.from_json('{"burst_votes": 600, "excess": 0.5, "trusted": ["nightly"]}')

    assert trust == Trust(Policy(burst_votes=600, excess=0.5), frozenset({"nightly"}))
    assert Trust.from_json("{}") == Trust()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "want an object with the fields of a trust policy"),
        ('{"burst": 3}', "no field burst: want some of burst_s, burst_votes, excess, least_common, risk, trusted"),
        ('{"burst_votes": 1.5}', "burst_votes=1.5: want something like 60"),
        ('{"burst_votes": true}', "burst_votes=True: want something like 60"),
        ('{"risk": "low"}', "risk='low': want something like 0.01"),
        ('{"risk": 2}', "policy's risk is 2.0: want more than 0 and less than 1"),
        ('{"trusted": "nightly"}', "trusted='nightly': want a list of raters' names"),
        ('{"trusted": [1]}', "want a list of raters' names"),
    ],
)
def test_a_file_that_does_not_fit_names_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Trust.from_json(text)
    assert message in str(refused.value)
