from pawl.versions import VersionRecord
from release.collection import kept_of


def version(number: int, state: str, function: str = "") -> VersionRecord:
    return VersionRecord("triage", str(number), state, "", function_version=function or str(100 + number))


def test_what_is_under_way_stays_and_of_the_others_the_newest() -> None:
    records = [
        version(1, "retired"),
        version(9, "live"),
        version(2, "rolled_back"),
        version(3, "retired"),
        version(10, "canary"),
        version(4, "refused"),
        version(8, "stopped"),
    ]

    assert kept_of(records, 2) == {"109", "110", "108", "103"}


def test_what_is_deployed_no_longer_takes_no_place_of_what_is() -> None:
    records = [version(1, "retired"), VersionRecord("triage", "2", "superseded", "")]

    assert kept_of(records, 1) == {"101"}
