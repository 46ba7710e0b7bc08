"""Code and layers unpacked once for all workers that use them.

On Lambda an environment finds them unpacked already; MiniStack unpacks them for every worker, which for a layer with a
runtime and a model is most of a cold start and, with several workers, of the memory. Here the first worker unpacks and
the others point to the same files, which nobody writes to.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from zipfile import BadZipFile, LargeZipFile, ZipFile

from local.adaptation import replace


class SharedZipFile(ZipFile):
    """A zip file whose `extractall` leaves a link to the only unpacked copy of its contents."""

    def extractall(self, path: str, *_members: object) -> None:  # type: ignore[override]
        copy = Path(tempfile.gettempdir()) / "unpacked" / self._digest()
        if not copy.exists():
            self._unpack(copy)
        os.rmdir(path)
        os.symlink(copy, path)

    def _digest(self) -> str:
        entries = sorted((entry.filename, entry.CRC, entry.file_size) for entry in self.infolist())
        return hashlib.sha256(repr(entries).encode()).hexdigest()

    def _unpack(self, copy: Path) -> None:
        copy.parent.mkdir(exist_ok=True)
        partial = tempfile.mkdtemp(dir=copy.parent)
        super().extractall(partial)
        try:
            os.rename(partial, copy)
        except OSError:  # another worker was faster, and its copy is as good
            shutil.rmtree(partial)


def apply() -> None:
    from ministack.core import lambda_runtime

    ours = SimpleNamespace(ZipFile=SharedZipFile, BadZipFile=BadZipFile, LargeFileError=LargeZipFile)  # its own slip
    replace(lambda_runtime, "zipfile", ours)
