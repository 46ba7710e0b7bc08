"""onnxruntime-web, the browser's onnxruntime: three files of one npm package, pinned by version and content.

Fetched by npm once and kept under .pawl/; whatever comes by the pinned name is compared with the pinned digest before
it is unpacked. Nothing of it runs here, and npm's install scripts have nothing to do with it.
"""

import hashlib
import shutil
import subprocess
import tarfile
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory

from artifacts.target import ROOT, BuildError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = {
    "ort.wasm.min.mjs": "ort.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm.wasm",
}
"""By what they are called here: many a host does not know .mjs as JavaScript, and browsers insist on being told so."""
CACHE = ROOT / ".pawl" / "edge"
LICENCE = """onnxruntime-web is Copyright (c) Microsoft Corporation, under the MIT License:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def runtime(cache: Path = CACHE) -> Path:
    """The folder with the runtime's files and its licence, fetched if need be; BuildError when that cannot be."""
    folder = cache / f"runtime-{VERSION}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as scratch:
            _unpack(_fetch(Path(scratch)), Path(scratch) / "kept")
            _keep(Path(scratch) / "kept", folder)
    return folder


def require_pinned(archive: Path) -> None:
    """BuildError unless an archive is, byte for byte, the one that was pinned."""
    if hashlib.sha512(archive.read_bytes()).digest() != b64decode(SHA512):
        raise BuildError(f"{PACKAGE} {VERSION}: what the registry gave is not what is pinned here: do not use it")


def _fetch(scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError(f"{PACKAGE} is fetched by npm, which is not here: install it with your package manager")
    command = [npm, "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    found = list(scratch.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise BuildError(f"{PACKAGE} {VERSION} cannot be fetched by npm: is there a network?\n{done.stderr.strip()}")
    return found[0]


def _unpack(archive: Path, folder: Path) -> None:
    require_pinned(archive)
    folder.mkdir()
    with tarfile.open(archive) as package:
        for source, name in FILES.items():
            file = package.extractfile(f"package/dist/{source}")
            assert file is not None  # a pinned package has them
            (folder / name).write_bytes(file.read())
    (folder / "LICENSE.txt").write_text(LICENCE, encoding="utf-8")


def _keep(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:  # another process was first, with the same files
        if not folder.exists():
            raise
