"""What made a version, and what a piece of data went into: walks over what manifests and datasets say of each other.

Nothing here reads anything. A dataset's rows are inherited from version to version, so a model that is trained anew has
seen what its own dataset holds and no more; one that goes on from its parent's weights has seen what the parent has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pawl.dataset import Row
from pawl.pairset import PairRow

TRAINED_ANEW = frozenset({"", "transfer"})
"""The recipes that start from the base model; any other is taken to go on from its parent's weights."""
LEARNED_FROM, JUDGED_BY, KEPT_WEIGHTS = "learned from it", "was judged by it", "keeps weights that learned from it"


@dataclass(frozen=True, slots=True)
class Version:
    """A model version and what it was made of; where no bundle says, its run does."""

    model: str
    version: str
    state: str
    run: str = ""
    dataset: str = ""
    parent: str | None = None
    recipe: str = ""
    code: str = ""
    base_model: str = ""
    created_at: str = ""

    @property
    def uri(self) -> str:
        """`models:/<name>/<version>`."""
        return f"models:/{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a frozen dataset's manifest says; `rows` by split, `lineage` as it was frozen."""

    digest: str
    model: str
    rows: Mapping[str, int]
    lineage: Mapping[str, Any]

    @property
    def parent(self) -> str | None:
        """The dataset whose rows it inherited."""
        return self.lineage.get("parent")


@dataclass(frozen=True, slots=True)
class Origins:
    """Answers by uuid and subjects by digest, as rows name what they come from."""

    answers: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()

    def cover(self, row: Row | PairRow) -> bool:
        """Whether a row comes from one of them; one whose origin was not kept comes from nobody known."""
        return not (self.answers.isdisjoint(row.answers) and self.subjects.isdisjoint(row.whose))


@dataclass(frozen=True, slots=True)
class Exposure:
    """A version that saw some data: how, in which dataset, and how many of its rows, by split."""

    version: Version
    how: str
    dataset: str
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lineage:
    """All versions by URI and datasets by digest, with the ways between them."""

    versions: Mapping[str, Version]
    datasets: Mapping[str, Dataset] = field(default_factory=dict[str, Dataset])

    def parents(self, version: Version) -> Iterator[Version]:
        """The versions before one, newest first, as far as they are known."""
        seen = {version.uri}
        while version.parent in self.versions and version.parent not in seen:
            version = self.versions[version.parent]
            seen.add(version.uri)
            yield version

    def sources(self, digest: str) -> Iterator[Dataset]:
        """A dataset and those that it inherited rows from, newest first, as far as they are known."""
        seen: set[str] = set()
        following: str | None = digest
        while following in self.datasets and following not in seen:
            seen.add(following)
            dataset = self.datasets[following]
            yield dataset
            following = dataset.parent

    def children(self, version: Version) -> list[Version]:
        """The versions that followed one directly."""
        return [each for each in self.versions.values() if each.parent == version.uri]

    def made_of(self, digest: str) -> list[Version]:
        """The versions that a dataset was frozen for."""
        return [each for each in self.versions.values() if each.dataset == digest]

    def heirs(self, digest: str) -> list[Dataset]:
        """The datasets that inherited rows from one, directly or not."""
        return [
            each
            for each in self.datasets.values()
            if each.digest != digest and digest in {source.digest for source in self.sources(each.digest)}
        ]

    def exposures(self, rows: Mapping[str, Mapping[str, int]]) -> list[Exposure]:
        """Every version that saw some data, of which the datasets hold `rows`: their number by digest and split.

        Oldest first, so a version that keeps weights comes after the one that it has them from.
        """
        found: dict[str, Exposure] = {}
        for version in sorted(self.versions.values(), key=lambda each: (each.model, int(each.version))):
            held = rows.get(version.dataset, {})
            kept = None if version.recipe in TRAINED_ANEW else found.get(version.parent or "")
            if held.get("train"):
                found[version.uri] = Exposure(version, LEARNED_FROM, version.dataset, held)
            elif kept and kept.how != JUDGED_BY:
                found[version.uri] = Exposure(version, KEPT_WEIGHTS, kept.dataset, kept.rows)
            elif any(held.values()):
                found[version.uri] = Exposure(version, JUDGED_BY, version.dataset, held)
        return list(found.values())
