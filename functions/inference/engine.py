"""The models of the mounted layers, each opened when it is first asked for and kept for the life of the process."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from pawl.bundle import layer_aliases, layer_folder, layer_models, open_bundle
from pawl.errors import InvalidBundle, NotFound, PawlError
from pawl.model import Model, open_model
from pawl.signing import Trust

LIVE, CANDIDATE = "live", "candidate"
ALIASES = (LIVE, CANDIDATE)
_REMEMBERED_S = 10.0
"""How long a version that failed to open is not tried again: each try reads the whole of it."""


class _Failure(NamedTuple):
    kind: type[PawlError]
    why: str
    until_s: float


class Engine:
    """Finds models by name and version or alias, and opens each once, if it is signed by somebody trusted.

    `arm` tells which alias the models here stand for while others may stand for the other one; empty where nobody
    knows, and what an alias means is the layers' own to say.
    """

    def __init__(
        self, trust: Trust, arm: Callable[[], str] = lambda: "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trust = trust
        self._arm = arm
        self._clock = clock
        self._open: dict[tuple[str, str], Model] = {}
        self._failed: dict[tuple[str, str], _Failure] = {}
        self._lock = threading.Lock()

    def models(self) -> dict[str, list[str]]:
        """The models here and their versions, oldest first."""
        return dict(layer_models())

    def resolve(self, name: str, version: str | None) -> str:
        """The version that `version` means: itself, or what an alias stands for; None is the alias `live`."""
        versions = layer_models().get(name)
        if not versions:
            raise NotFound(f"no model {name!r} here: there are {sorted(layer_models())}")
        aliases = {LIVE: versions[-1], **layer_aliases(name)}
        wanted = version or LIVE
        if wanted in versions:
            return wanted
        if wanted not in aliases or self._is_elsewhere(version):
            what = wanted if wanted in ALIASES else f"version {wanted!r}"
            raise NotFound(f"no {what} of {name!r} here: there are {versions}")
        if aliases[wanted] not in versions:
            raise InvalidBundle(
                f"{name}: {wanted} is version {aliases[wanted]}, which is not here: there are {versions}"
            )
        return aliases[wanted]

    def get(self, name: str, version: str | None = None) -> Model:
        """The opened model; its digests and its signature are checked before its session opens."""
        return self.opened(name, version) or self._load(name, version)

    def opened(self, name: str, version: str | None = None) -> Model | None:
        """The model, where `get` need not read it from the disk any more."""
        if version and self._is_elsewhere(version):
            return None
        return self._open.get((name, version or LIVE))

    def failure(self, name: str, version: str) -> str:
        """Why a version could not be opened when that was last tried; empty when it could, or was not tried."""
        failed = self._failed.get((name, version))
        return failed.why if failed else ""

    def _is_elsewhere(self, version: str | None) -> bool:
        """Whether an alias that was named is one that the models here do not stand for."""
        return version in ALIASES and self._arm() not in ("", version)

    def _load(self, name: str, version: str | None) -> Model:
        with self._lock:
            number = self.resolve(name, version)
            model = self._open.get((name, number)) or self._open_version(name, number)
            self._open[name, number] = self._open[name, version or LIVE] = model
            return model

    def _open_version(self, name: str, number: str) -> Model:
        failed = self._failed.get((name, number))
        if failed and self._clock() < failed.until_s:
            raise failed.kind(failed.why)
        try:
            bundle = open_bundle(layer_folder(name, number))
            if (bundle.manifest.name, bundle.manifest.version) != (name, number):
                raise InvalidBundle(f"{name} {number} holds {bundle.manifest.name} {bundle.manifest.version}")
            self._trust.check(bundle)
            model = open_model(bundle)
        except PawlError as error:
            self._failed[name, number] = _Failure(type(error), str(error), self._clock() + _REMEMBERED_S)
            raise
        self._failed.pop((name, number), None)
        return model
