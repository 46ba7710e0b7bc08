"""`scripts/verify PATH [--key PEM]`: whether bundles are what somebody signed, and what that somebody signed.

Needs nothing but the files and a public key: this machine's own, or those in a PEM file, as `scripts/pawl keys` prints
a deployment's. The files can as well be checked by OpenSSF's own tool: `model_signing verify key`.
"""

import argparse
import base64
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from artifacts.signing import local_key
from artifacts.target import BuildError
from pawl.bundle import MANIFEST, Bundle, open_bundle
from pawl.errors import PawlError
from pawl.signing import Trust, read_trust

_END = "-----END PUBLIC KEY-----"


def main(arguments: Sequence[str]) -> int:
    """Check every bundle under a path; 1 when one is not as it was signed, or when there is none."""
    parser = argparse.ArgumentParser("scripts/verify", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("path", type=Path, help="the folder of a bundle, or one that holds bundles")
    parser.add_argument("--key", type=Path, metavar="PEM", help="public keys to trust (default: this machine's)")
    options = parser.parse_args(arguments)
    try:
        trust = read_trust(read_keys(options.key) if options.key else local_key().trusted)
    except (BuildError, PawlError) as error:
        return _fail(str(error))
    folders = sorted({path.parent for path in options.path.rglob(MANIFEST)})
    if not folders:
        return _fail(f"{options.path}: no bundle here: want a folder with {MANIFEST}")
    return max(_verify(folder, trust) for folder in folders)


def read_keys(path: Path) -> str:
    """The public keys of a PEM file as TRUSTED_KEYS takes them; BuildError when it holds none, or something else."""
    try:
        texts = [text + _END for text in path.read_text(encoding="utf-8").split(_END)[:-1]]
        keys = [serialization.load_pem_public_key(text.strip().encode()) for text in texts]
    except (OSError, ValueError) as error:
        raise BuildError(f"{path}: no public keys in PEM can be read from it") from error
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if not keys:
        raise BuildError(f"{path} holds no public key in PEM")
    return ",".join(base64.b64encode(key.public_bytes(*form)).decode() for key in keys)


def _verify(folder: Path, trust: Trust) -> int:
    try:
        bundle = open_bundle(folder)
        predicate = trust.check(bundle)
    except PawlError as error:
        return _fail(f"{folder}: {error}")
    assert predicate is not None  # no unsigned bundle passes here
    print("\n".join([str(folder), *(f"  {what:<10}{said}" for what, said in _proved(bundle, predicate).items())]))
    return 0


def _proved(bundle: Bundle, predicate: Mapping[str, Any]) -> dict[str, str]:
    made, manifest = predicate["pawl"], bundle.manifest
    gates = ", ".join(gate["name"] for gate in made["gates"])
    return {
        "model": f"{manifest.name} {manifest.version}, manifest {bundle.digest}",
        "files": f"{len(predicate['resources'])}, each as signed, and no other",
        "made by": f"run {made['run']}, code {made['code']}",
        "made of": f"dataset {made['dataset']}, parent {made['parent'] or 'none'}",
        "gates": f"passed: {gates}" if gates else "none: it has not come through a release",
    }


def _fail(message: str) -> int:
    print(f"scripts/verify: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
