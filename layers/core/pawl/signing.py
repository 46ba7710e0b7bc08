"""Signed bundles: `model.sig`, as OpenSSF Model Signing 1.0 writes it, so that its own tools verify it too.

A Sigstore bundle around a DSSE envelope around an in-toto statement, which lists the sha256 of each of its files;
beside them, under `pawl`, where the version comes from and which gates it has passed. One signature, ECDSA on P-256.
A signature file holds nothing that is not signed or derived: any other bytes for the same statement are refused.
https://github.com/ossf/model-signing-spec, https://github.com/secure-systems-lab/dsse
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pawl import p256
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Bundle, Manifest, parse_manifest, reading
from pawl.errors import InvalidBundle, SettingsError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}


class Signer(Protocol):
    """Holds a private key, or knows who does."""

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        ...

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over `message`, in DER."""
        ...


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count: public keys by their fingerprint, and whether bundles without any may be opened."""

    keys: Mapping[str, p256.Affine]
    allow_unsigned: bool = False

    def check(self, bundle: Bundle) -> Mapping[str, Any] | None:
        """The signed statement's predicate, None for an unsigned bundle that may be; InvalidBundle says what is wrong.

        `bundle` has been opened, so its files are those of its manifest: here each is held against the signature.
        """
        with reading(bundle.path):
            return self._check(bundle)

    def _check(self, bundle: Bundle) -> Mapping[str, Any] | None:
        path = bundle.path / SIGNATURE
        name = f"{bundle.manifest.name} {bundle.manifest.version}"
        if not path.exists() and self.allow_unsigned:
            return None
        if path.is_symlink() or not path.is_file():
            raise InvalidBundle(f"{name}: {SIGNATURE} is missing, and unsigned bundles are not served here")
        try:
            predicate = self._open_statement(path.read_bytes())["predicate"]
            _check_files(_digests(bundle), {each["name"]: each["digest"] for each in predicate["resources"]})
        except InvalidBundle as error:
            raise InvalidBundle(f"{name}: {error}") from error
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise InvalidBundle(f"{name}: {SIGNATURE} is not a model signature: {type(error).__name__}") from error
        return predicate

    def _open_statement(self, text: bytes) -> dict[str, Any]:
        raw = json.loads(text)
        fingerprint = raw["verificationMaterial"]["publicKey"]["hint"]
        payload = base64.b64decode(raw["dsseEnvelope"]["payload"])
        signature = base64.b64decode(raw["dsseEnvelope"]["signatures"][0]["sig"])
        if _render(payload, signature, fingerprint) != text:
            raise InvalidBundle(f"{SIGNATURE} is not as it was written")
        if fingerprint not in self.keys:
            raise InvalidBundle(f"{SIGNATURE} is by a key that is not trusted here: {str(fingerprint)[:16]}")
        if not p256.verify(self.keys[fingerprint], _authenticated(payload), signature):
            raise InvalidBundle(f"{SIGNATURE} does not match its statement")
        statement = json.loads(payload)
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise InvalidBundle(f"{SIGNATURE} signs something else: {statement['predicateType']}")
        return statement


def read_trust(keys: str, allow_unsigned: bool = False) -> Trust:
    """Trust in `keys`, each a SubjectPublicKeyInfo in base64, joined by commas; SettingsError when one is none."""
    trusted: dict[str, p256.Affine] = {}
    for text in filter(None, keys.split(",")):
        try:
            der = base64.b64decode(text, validate=True)
            trusted[fingerprint(der)] = p256.parse_public_key(der)
        except ValueError as error:
            raise SettingsError(f"trusted keys: {text[:16]!r}...: {error}") from error
    return Trust(trusted, allow_unsigned)


def sign(manifest: bytes, evidence: bytes | None, signer: Signer) -> bytes:
    """The bytes of `model.sig` for the bundle whose manifest this is, and for the evidence of its gates."""
    payload = _canonical(_statement(manifest, evidence))
    return _render(payload, signer.sign(_authenticated(payload)), fingerprint(signer.public_key))


def fingerprint(public_key: bytes) -> str:
    """The sha256 of a public key's PEM, by which a signature names its key; `public_key` is DER."""
    return hashlib.sha256(to_pem(public_key).encode()).hexdigest()


def to_pem(public_key: bytes) -> str:
    """A public key as PEM (RFC 7468), as OpenSSL writes it."""
    text = base64.b64encode(public_key).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _statement(text: bytes, evidence: bytes | None) -> dict[str, Any]:
    manifest = parse_manifest(text)
    digests = _listed(manifest) | {MANIFEST: hashlib.sha256(text).hexdigest()}
    if evidence is not None:
        digests[EVIDENCE] = hashlib.sha256(evidence).hexdigest()
    resources = [{"name": name, "algorithm": "sha256", "digest": digests[name]} for name in sorted(digests)]
    root = hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()
    lineage = manifest.lineage
    origin = {"run": lineage.run, "dataset": lineage.dataset, "code": lineage.code, "parent": lineage.parent}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{manifest.name}/{manifest.version}", "digest": {"sha256": root}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": _SERIALIZATION,
            "resources": resources,
            "pawl": {**origin, "gates": json.loads(evidence or b"[]")},
        },
    }


def _digests(bundle: Bundle) -> dict[str, str]:
    """The sha256 of each file of a bundle, by name; those that its manifest vouches for have been compared already."""
    digests = _listed(bundle.manifest) | {MANIFEST: bundle.digest}
    for path in bundle.path.iterdir():
        if path.name == EVIDENCE and path.is_file() and not path.is_symlink():
            digests[EVIDENCE] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name not in digests and path.name != SIGNATURE:
            raise InvalidBundle(f"{path.name} is not part of the bundle")
    return digests


def _listed(manifest: Manifest) -> dict[str, str]:
    return {name: about["sha256"] for name, about in manifest.files.items()}


def _check_files(found: Mapping[str, str], signed: Mapping[str, str]) -> None:
    for name in sorted({*found, *signed}):
        if name not in found:
            raise InvalidBundle(f"{name} is missing")
        if found[name] != signed.get(name):
            raise InvalidBundle(f"{name} does not match its signature")


def _authenticated(payload: bytes) -> bytes:
    """What is really signed: DSSE's encoding of the payload and its type."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _render(payload: bytes, signature: bytes, fingerprint: str) -> bytes:
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    material: dict[str, Any] = {"publicKey": {"hint": fingerprint}, "tlogEntries": []}
    return _canonical({"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
