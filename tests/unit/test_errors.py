import inspect

import pytest

from pawl import errors
from pawl.errors import PawlError


def _tree(root: type[PawlError], depth: int = 0) -> set[tuple[int, str]]:
    branches = (_tree(each, depth + 1) for each in root.__subclasses__() if each.__module__ == errors.__name__)
    return {(depth, root.__name__)}.union(*branches)


def _drawn() -> set[tuple[int, str]]:
    """Depth and name of each line of the tree in the module's docstring."""
    lines = [line[4:] for line in (errors.__doc__ or "").split("\n") if line.startswith("    ")]
    names = [line.lstrip("│├└─ ") for line in lines]
    return {((len(line) - len(name)) // 4, name.split()[0]) for line, name in zip(lines, names, strict=True)}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert _drawn() == _tree(PawlError)


def test_every_error_of_the_module_says_when_it_is_raised() -> None:
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]

    assert classes
    assert all(issubclass(each, PawlError) and "__doc__" in vars(each) for each in classes)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SettingsError, 500),
        (errors.InvalidRequest, 400),
        (errors.InvalidReceipt, 400),
        (errors.InvalidRecord, 400),
        (errors.UnsupportedRequest, 501),
        (errors.NotFound, 404),
        (errors.InvalidBundle, 503),
        (errors.InvalidDataset, 500),
        (errors.IncompatibleProfiles, 500),
        (errors.Conflict, 409),
    ],
)
def test_an_error_means_one_status_over_http(error: type[PawlError], status: int) -> None:
    assert error("why").status == status
