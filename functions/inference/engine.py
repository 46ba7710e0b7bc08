"""The models of the mounted layers, each opened when it is first asked for and kept for the life of the process."""

import threading

from pawl.bundle import layer_folder, layer_models, open_bundle
from pawl.errors import NotFound
from pawl.model import TextClassifier, open_model


class Engine:
    """Finds models by name and version or alias, and opens each once."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], TextClassifier] = {}
        self._lock = threading.Lock()

    def models(self) -> dict[str, list[str]]:
        """The models here and their versions, oldest first."""
        return dict(layer_models())

    def resolve(self, name: str, version: str | None) -> str:
        """The version that `version` means: itself, or the newest one here for None and the alias `live`."""
        versions = layer_models().get(name)
        if not versions:
            raise NotFound(f"no model {name!r} here: there are {sorted(layer_models())}")
        wanted = versions[-1] if version in (None, "live") else version
        if wanted not in versions:
            raise NotFound(f"no version {version!r} of {name!r} here: there are {versions}")
        return wanted

    def get(self, name: str, version: str | None = None) -> TextClassifier:
        """The opened model; its digests are checked before its session opens."""
        return self._open.get((name, version or "live")) or self._load(name, version)

    def _load(self, name: str, version: str | None) -> TextClassifier:
        with self._lock:
            number = self.resolve(name, version)
            model = self._open.get((name, number)) or open_model(open_bundle(layer_folder(name, number)))
            self._open[name, number] = self._open[name, version or "live"] = model
            return model
