"""The key that bundles made on this machine are signed with: made once, kept under .pawl/, never committed.

PAWL_SIGNING_KEY names the file of another one, as of one that several machines share (PEM, PKCS 8, P-256).
`python -m artifacts.signing` prints the public key as the setting TRUSTED_KEYS takes it.
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from artifacts.target import ROOT, BuildError
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, open_bundle
from pawl.signing import sign

KEY = ROOT / ".pawl" / "signing-key.pem"


class KeyFile:
    """A private key in a file."""

    def __init__(self, path: Path) -> None:
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise BuildError(f"{path}: no private key in PEM, without a password, can be read from it") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BuildError(f"{path}: want a key on the curve P-256")
        self._key = key

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def trusted(self) -> str:
        """The public key as TRUSTED_KEYS takes it."""
        return base64.b64encode(self.public_key).decode()

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over `message`, in DER."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))


def local_key(environment: Mapping[str, str] = os.environ) -> KeyFile:
    """This machine's key, made when it is first asked for."""
    if path := environment.get("PAWL_SIGNING_KEY"):
        return KeyFile(Path(path))
    if not KEY.exists():
        make_key(KEY)
    return KeyFile(KEY)


def make_key(path: Path) -> None:
    """Write a new private key that its owner alone may read."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    try:
        os.link(partial, path)  # whoever made it first has made it for all
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def sign_folder(folder: Path, key: KeyFile) -> None:
    """Sign the bundle in a folder once every file matches its digest."""
    open_bundle(folder)
    evidence = folder / EVIDENCE
    gates = evidence.read_bytes() if evidence.exists() else None
    (folder / SIGNATURE).write_bytes(sign((folder / MANIFEST).read_bytes(), gates, key))


if __name__ == "__main__":
    print(local_key().trusted)
