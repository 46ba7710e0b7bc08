"""Where jobs run: on one instance, or a training of preferences on several, which the template makes if asked for."""

from dataclasses import dataclass

from retrain.decision import ALIGN, REWARD
from retrain.settings import Settings

SHARED = (REWARD, ALIGN)
"""The recipes that several processes can share; the others would each do all of the work."""


@dataclass(frozen=True, slots=True)
class Site:
    """A queue and a job definition, by ARN, and how many instances a job of it takes."""

    queue: str
    definition: str
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Fleet:
    """The sites of a deployment; `nodes` is None where every job has one instance."""

    single: Site
    nodes: Site | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Fleet":
        """What the settings name."""
        single = Site(settings.job_queue, settings.job_definition)
        if not settings.nodes_job_definition:
            return cls(single)
        return cls(single, Site(settings.nodes_job_queue, settings.nodes_job_definition, settings.nodes))

    def site(self, recipe: str) -> Site:
        """Where a recipe runs.

        >>> fleet = Fleet(Site("queue", "job"), Site("queue", "jobs", 4))
        >>> fleet.site("align").nodes, fleet.site("transfer").nodes, Fleet(fleet.single).site("align").nodes
        (4, 1, 1)
        """
        return self.nodes if self.nodes is not None and recipe in SHARED else self.single
