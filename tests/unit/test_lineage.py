"""The walks between versions and datasets, on graphs drawn by hand."""

from operations.lineage import JUDGED_BY, KEPT_WEIGHTS, LEARNED_FROM, Dataset, Lineage, Origins, Version
from pawl.dataset import Row


def version(number: int, dataset: str = "", parent: int | None = None, recipe: str = "transfer") -> Version:
    before = None if parent is None else f"models:/m/{parent}"
    return Version("m", str(number), "live", f"run-{number}", dataset, before, recipe)


def lineage(*versions: Version, **parents: str | None) -> Lineage:
    datasets = {name: Dataset(name, "m", {"train": 1}, {"parent": parent}) for name, parent in parents.items()}
    return Lineage({each.uri: each for each in versions}, datasets)


def test_parents_end_where_nothing_is_known_and_do_not_go_round() -> None:
    known = lineage(version(3, parent=2), version(2, parent=1), version(8, parent=9), version(9, parent=8))

    assert [each.version for each in known.parents(version(3, parent=2))] == ["2"]
    assert [each.version for each in known.parents(known.versions["models:/m/8"])] == ["9"]


def test_sources_go_back_to_the_first_dataset_and_heirs_forward_to_the_last() -> None:
    known = lineage(a=None, b="a", c="b", other=None, loop="loop", orphan="lost")

    assert [each.digest for each in known.sources("c")] == ["c", "b", "a"]
    assert [each.digest for each in known.heirs("a")] == ["b", "c"]
    assert [each.digest for each in known.sources("loop")] == ["loop"]
    assert [each.digest for each in known.sources("orphan")] == ["orphan"]
    assert list(known.sources("lost")) == []


def test_children_are_the_versions_that_name_one_as_their_parent() -> None:
    known = lineage(version(1), version(2, parent=1), version(3, parent=2), version(4, parent=1))

    assert [each.version for each in known.children(version(1))] == ["2", "4"]


def test_rows_that_only_judged_a_version_taught_it_nothing() -> None:
    known = lineage(version(1, "a"), version(2, "b"))

    found = known.exposures({"a": {"holdout": 2, "recent": 1}, "b": {"train": 1, "recent": 1}})

    assert [(each.version.version, each.how, each.rows) for each in found] == [
        ("1", JUDGED_BY, {"holdout": 2, "recent": 1}),
        ("2", LEARNED_FROM, {"train": 1, "recent": 1}),
    ]


def test_what_goes_on_from_weights_has_seen_what_they_learned_from_but_what_is_trained_anew_has_not() -> None:
    known = lineage(
        version(10, "clean", 9, "recalibrate"),
        version(9, "clean", 2, "recalibrate"),
        version(2, "dirty", 1),
        version(11, "clean", 10),
    )

    found = known.exposures({"dirty": {"train": 3}})

    assert [(each.version.version, each.how, each.dataset) for each in found] == [
        ("2", LEARNED_FROM, "dirty"),
        ("9", KEPT_WEIGHTS, "dirty"),
        ("10", KEPT_WEIGHTS, "dirty"),
    ]


def test_weights_that_were_only_judged_by_rows_pass_nothing_on() -> None:
    known = lineage(version(1, "a"), version(2, "clean", 1, "recalibrate"))

    assert [each.version.version for each in known.exposures({"a": {"recent": 1}})] == ["1"]


def test_a_recipe_that_nobody_vouches_for_is_taken_to_keep_weights() -> None:
    known = lineage(version(1, "a"), version(2, "clean", 1, "some-new-recipe"))

    assert [each.how for each in known.exposures({"a": {"train": 1}})] == [LEARNED_FROM, KEPT_WEIGHTS]


def test_a_row_without_an_origin_comes_from_nobody() -> None:
    wanted = Origins(frozenset({"u1"}), frozenset({"s1"}))

    assert wanted.cover(Row("text", "label", answer="u1"))
    assert wanted.cover(Row("text", "label", answer="u2", subject="s1"))
    assert wanted.cover(Row("text", "label", answer="u2", subject="s2", people=("s1",)))
    assert not wanted.cover(Row("text", "label"))
    assert not wanted.cover(Row("text", "label", answer="s1", subject="u1"))
