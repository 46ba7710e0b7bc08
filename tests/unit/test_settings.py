from dataclasses import dataclass

import pytest

from pawl.errors import SettingsError
from pawl.settings import read_settings, variables


@dataclass(frozen=True, slots=True)
class Settings:
    """One field of each kind."""

    feedback_table: str
    row_limit: int
    window_hours: float = 24.0
    is_live: bool = False


NEEDED = {"FEEDBACK_TABLE": "feedback", "ROW_LIMIT": "64"}


def test_settings_are_read_by_name_and_converted() -> None:
    settings = read_settings(Settings, {**NEEDED, "WINDOW_HOURS": "1.5", "IS_LIVE": "True", "PATH": "/bin"})

    assert settings == Settings("feedback", 64, 1.5, True)
    assert [type(getattr(settings, name)) for name in settings.__slots__] == [str, int, float, bool]


def test_a_setting_with_a_default_may_be_left_out() -> None:
    assert read_settings(Settings, NEEDED) == Settings("feedback", 64, 24.0, False)


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_setting_is_named_with_who_needs_it(missing: str) -> None:
    environment = {name: value for name, value in NEEDED.items() if name != missing}

    with pytest.raises(SettingsError, match=f"{missing} is not set: Settings needs it"):
        read_settings(Settings, environment)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("ROW_LIMIT", "many", "want int"),
        ("ROW_LIMIT", "1.5", "want int"),
        ("WINDOW_HOURS", "", "want float"),
        ("IS_LIVE", "yes", "want true or false"),
        ("IS_LIVE", "1", "want true or false"),
    ],
)
def test_a_bad_setting_is_shown_with_what_was_wanted(name: str, value: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}='{value}': {wanted}$"):
        read_settings(Settings, {**NEEDED, name: value})


def test_false_is_false() -> None:
    assert read_settings(Settings, {**NEEDED, "IS_LIVE": "false"}).is_live is False


def test_the_variables_of_a_settings_class_tell_which_must_be_set() -> None:
    assert variables(Settings) == {"FEEDBACK_TABLE": True, "ROW_LIMIT": True, "WINDOW_HOURS": False, "IS_LIVE": False}
