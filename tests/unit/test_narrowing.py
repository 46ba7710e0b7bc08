import json

import pytest

from pawl.narrowing import is_list, is_object


@pytest.mark.parametrize(
    ("text", "is_an_object", "is_an_array"),
    [("{}", True, False), ("[]", False, True), ('"{}"', False, False), ("null", False, False), ("0", False, False)],
)
def test_parsed_json_is_told_apart(text: str, is_an_object: bool, is_an_array: bool) -> None:
    value = json.loads(text)

    assert (is_object(value), is_list(value)) == (is_an_object, is_an_array)
