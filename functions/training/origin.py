"""Where a packaged model comes from: what its manifest says besides what the packaging itself finds out."""

from dataclasses import dataclass

from pawl.bundle import Lineage


@dataclass(frozen=True, slots=True)
class Origin:
    """A ready-made model that is packaged as it is: no dataset of this deployment made it."""

    name: str
    version: str
    created_at: str
    base_model: str
    base_licence: str
    run: str = "package"
    code: str = "unknown"

    def lineage(self) -> Lineage:
        """The manifest's lineage; its dataset is `none`."""
        return Lineage(self.run, "none", None, self.base_model, self.base_licence, self.code)
