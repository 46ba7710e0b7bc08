"""Signed bundles: whatever is altered, added, left out or signed by somebody else is refused, and named."""

import base64
import json
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_signing import verifying

from artifacts import signing as machine
from artifacts.signing import KeyFile, make_key, sign_folder
from artifacts.target import BuildError
from artifacts.verification import main as verify
from benchmarks.tampering import refusals
from pawl.bundle import EVIDENCE, MANIFEST, SIGNATURE, Bundle, open_bundle, seal
from pawl.errors import InvalidBundle, SettingsError
from pawl.signing import PAYLOAD_TYPE, Trust, fingerprint, read_trust, sign, to_pem

GATES = [{"name": "holdout", "passed": True, "measured": "0.9", "wanted": "0.8"}]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    make_key(path)
    return KeyFile(path)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    path = tmp_path_factory.mktemp("keys") / "stranger.pem"
    make_key(path)
    return KeyFile(path)


@pytest.fixture
def signed(sealed: Bundle, key: KeyFile) -> Path:
    """The folder of a bundle that has passed a gate and is signed."""
    (sealed.path / EVIDENCE).write_text(json.dumps(GATES))
    sign_folder(sealed.path, key)
    return sealed.path


@pytest.fixture
def trust(key: KeyFile) -> Trust:
    return read_trust(key.trusted)


def check(folder: Path, trust: Trust) -> Any:
    return trust.check(open_bundle(folder))


def envelope(folder: Path) -> dict[str, Any]:
    return json.loads((folder / SIGNATURE).read_bytes())["dsseEnvelope"]


def write(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter the signature file."""
    raw = json.loads((folder / SIGNATURE).read_bytes())
    change(raw)
    (folder / SIGNATURE).write_text(json.dumps(raw, separators=(",", ":"), sort_keys=True))


def test_a_signed_bundle_proves_its_files_where_it_comes_from_and_what_it_has_passed(
    signed: Path, trust: Trust
) -> None:
    predicate = check(signed, trust)

    assert predicate["pawl"] == {"run": "run-1", "dataset": "d" * 64, "code": "0" * 40, "parent": None, "gates": GATES}
    names = [each["name"] for each in predicate["resources"]]
    assert names == ["card.md", EVIDENCE, MANIFEST, "model.onnx", "model.onnx.data"]


def test_a_signature_is_openssfs_format(signed: Path) -> None:
    raw = json.loads((signed / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(raw["dsseEnvelope"]["payload"]))

    assert raw["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert raw["dsseEnvelope"]["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert (statement["_type"], statement["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://model_signing/signature/v1.0",
    )
    assert statement["subject"][0]["name"] == "triage/3"


def test_openssfs_own_tool_verifies_it_and_refuses_it_once_altered(
    signed: Path, key: KeyFile, stranger: KeyFile, tmp_path: Path
) -> None:
    def judge(public_key: bytes) -> None:
        (tmp_path / "public.pem").write_text(to_pem(public_key))
        config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "public.pem")
        config.verify(signed, signed / SIGNATURE)

    judge(key.public_key)
    with pytest.raises(ValueError, match="Key mismatch"):
        judge(stranger.public_key)
    (signed / "card.md").write_text("# Other")
    with pytest.raises(ValueError, match=r"card\.md"):
        judge(key.public_key)


def test_a_key_that_is_not_trusted_is_named(signed: Path, stranger: KeyFile, key: KeyFile) -> None:
    with pytest.raises(InvalidBundle, match=f"key that is not trusted here: {fingerprint(key.public_key)[:16]}"):
        check(signed, read_trust(stranger.trusted))
    with pytest.raises(InvalidBundle, match="not trusted here"):
        check(signed, read_trust(""))
    assert check(signed, read_trust(f"{stranger.trusted},{key.trusted}"))


def test_a_stranger_cannot_sign_in_the_name_of_a_trusted_key(signed: Path, key: KeyFile, stranger: KeyFile) -> None:
    class Forger(KeyFile):
        public_key = key.public_key  # type: ignore[assignment]

        def __init__(self) -> None:
            self._key = stranger._key

    manifest = (signed / MANIFEST).read_bytes()
    (signed / SIGNATURE).write_bytes(sign(manifest, (signed / EVIDENCE).read_bytes(), Forger()))

    with pytest.raises(InvalidBundle, match=r"triage 3: model\.sig does not match its statement"):
        check(signed, read_trust(key.trusted))


def test_an_unsigned_bundle_opens_only_where_that_is_allowed(sealed: Bundle, key: KeyFile) -> None:
    with pytest.raises(InvalidBundle, match=r"triage 3: model\.sig is missing"):
        check(sealed.path, read_trust(key.trusted))
    assert check(sealed.path, read_trust(key.trusted, allow_unsigned=True)) is None


def test_a_signature_must_hold_even_where_none_is_needed(signed: Path, stranger: KeyFile) -> None:
    with pytest.raises(InvalidBundle, match="not trusted here"):
        check(signed, read_trust(stranger.trusted, allow_unsigned=True))


@pytest.mark.parametrize("name", ["card.md", EVIDENCE, MANIFEST, "model.onnx", "model.onnx.data", SIGNATURE])
def test_a_missing_file_is_named(signed: Path, trust: Trust, name: str) -> None:
    (signed / name).unlink()

    with pytest.raises(InvalidBundle, match=f"{name} is missing"):
        check(signed, trust)


@pytest.mark.parametrize("name", ["weights.bin", ".hidden", "folder/"])
def test_a_file_that_nobody_signed_is_named(signed: Path, trust: Trust, name: str) -> None:
    (signed / name).mkdir() if name.endswith("/") else (signed / name).write_bytes(b"")

    with pytest.raises(InvalidBundle, match=rf"triage 3: {name.rstrip('/')} is not part of the bundle"):
        check(signed, trust)


def test_evidence_that_was_added_or_altered_afterwards_is_named(sealed: Bundle, key: KeyFile, trust: Trust) -> None:
    sign_folder(sealed.path, key)
    (sealed.path / EVIDENCE).write_text(json.dumps(GATES))

    with pytest.raises(InvalidBundle, match=r"evidence\.json does not match its signature"):
        check(sealed.path, trust)


def test_a_bundle_that_was_sealed_anew_needs_a_new_signature(signed: Path, trust: Trust, about: dict[str, Any]) -> None:
    (signed / "model.onnx").write_bytes(b"backdoor")
    seal(signed, **about)

    with pytest.raises(InvalidBundle, match=r"triage 3: manifest\.json does not match its signature"):
        check(signed, trust)


def test_the_signature_of_another_version_is_none(
    signed: Path, trust: Trust, about: dict[str, Any], key: KeyFile, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    seal(other, **{**about, "version": "4"})
    sign_folder(other, key)
    (signed / SIGNATURE).write_bytes((other / SIGNATURE).read_bytes())

    with pytest.raises(InvalidBundle, match=r"card\.md does not match its signature"):
        check(signed, trust)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".."])
def test_a_climbing_path_is_refused_although_a_trusted_key_has_signed_it(
    signed: Path, trust: Trust, key: KeyFile, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a manifest nor a statement that names a file elsewhere is followed."""
    statement = json.loads(base64.b64decode(envelope(signed)["payload"]))
    statement["predicate"]["resources"].append({"name": name, "algorithm": "sha256", "digest": "0" * 64})
    monkeypatch.setattr("pawl.signing._statement", lambda *_: statement)
    (signed / SIGNATURE).write_bytes(sign(b"", None, key))

    with pytest.raises(InvalidBundle, match=f"triage 3: {name} is missing"):
        check(signed, trust)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.update(more=1),
        lambda raw: raw.update(mediaType="application/json"),
        lambda raw: raw["verificationMaterial"]["tlogEntries"].append({}),
        lambda raw: raw["dsseEnvelope"]["signatures"].append(raw["dsseEnvelope"]["signatures"][0]),
        lambda raw: raw["dsseEnvelope"]["signatures"].clear(),
        lambda raw: raw["dsseEnvelope"].update(payloadType="text/plain"),
        lambda raw: raw["dsseEnvelope"].update(payload=5),
        lambda raw: raw["dsseEnvelope"].update(payload=" " + raw["dsseEnvelope"]["payload"]),
        lambda raw: raw.pop("verificationMaterial"),
        lambda raw: raw["verificationMaterial"]["publicKey"].update(hint=["a"]),
    ],
)
def test_a_signature_file_holds_nothing_that_is_not_signed(
    signed: Path, trust: Trust, change: Callable[[dict[str, Any]], object]
) -> None:
    write(signed, change)

    with pytest.raises(InvalidBundle, match=r"triage 3: model\.sig is not"):
        check(signed, trust)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"dsseEnvelope":[]}'])
def test_what_is_no_signature_at_all_is_refused(signed: Path, trust: Trust, text: bytes) -> None:
    (signed / SIGNATURE).write_bytes(text)

    with pytest.raises(InvalidBundle, match=r"triage 3: model\.sig is not a model signature"):
        check(signed, trust)


def test_a_link_to_the_very_same_signature_is_refused(signed: Path, trust: Trust, tmp_path: Path) -> None:
    (signed / SIGNATURE).rename(tmp_path / "elsewhere")
    (signed / SIGNATURE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(InvalidBundle, match=r"model\.sig is missing"):
        check(signed, trust)


def test_two_thousand_single_byte_changes_anywhere_are_all_refused(signed: Path, trust: Trust) -> None:
    assert check(signed, trust)
    assert refusals(signed, trust, random.Random(3), 2000) == 2000
    assert check(signed, trust)


@pytest.mark.parametrize("keys", ["no base64!", "AAAA", base64.b64encode(b"\x30" * 91).decode()])
def test_a_trusted_key_that_is_none_is_named(keys: str) -> None:
    with pytest.raises(SettingsError, match=f"trusted keys: '{keys[:16]}'"):
        read_trust(keys)


# ---- this machine's key and `scripts/verify`


def test_this_machines_key_is_made_once_and_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "KEY", tmp_path / ".pawl" / "signing-key.pem")

    first, second = machine.local_key({}), machine.local_key({})

    assert first.trusted == second.trusted
    assert stat.S_IMODE(os.stat(machine.KEY).st_mode) == 0o600
    assert [path.name for path in machine.KEY.parent.iterdir()] == ["signing-key.pem"]


def test_another_key_can_be_named_but_must_be_there(tmp_path: Path) -> None:
    make_key(tmp_path / "shared.pem")
    named = {"PAWL_SIGNING_KEY": str(tmp_path / "shared.pem")}

    assert machine.local_key(named).trusted == KeyFile(tmp_path / "shared.pem").trusted
    with pytest.raises(BuildError, match=r"none\.pem: no private key"):
        machine.local_key({"PAWL_SIGNING_KEY": str(tmp_path / "none.pem")})


def test_verify_says_what_it_has_proved(signed: Path, key: KeyFile, capsys: pytest.CaptureFixture[str]) -> None:
    public = signed.parent / "public.pem"
    public.write_text(to_pem(key.public_key))

    assert verify([str(signed.parent), "--key", str(public)]) == 0
    said = capsys.readouterr().out
    assert f"triage 3, manifest {open_bundle(signed).digest}" in said
    assert "5, each as signed, and no other" in said
    assert "passed: holdout" in said


def test_verify_names_what_does_not_match_and_fails(
    signed: Path, key: KeyFile, stranger: KeyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    public = signed.parent / "public.pem"
    public.write_text(to_pem(stranger.public_key) + to_pem(key.public_key))
    copy = signed.parent / "4"
    shutil.copytree(signed, copy)
    (copy / "card.md").write_text("# Other!")

    assert verify([str(signed.parent), "--key", str(public)]) == 1
    told = capsys.readouterr()
    assert f"{copy}: triage 3: card.md does not match its digest" in told.err
    assert str(signed) in told.out
    public.write_text(to_pem(stranger.public_key))
    assert verify([str(signed), "--key", str(public)]) == 1
    assert "not trusted here" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_verify_wants_a_key_and_a_bundle(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str], key: KeyFile
) -> None:
    (tmp_path / "key.pem").write_text(content)

    assert verify([str(tmp_path), "--key", str(tmp_path / "key.pem")]) == 1
    assert "key.pem" in capsys.readouterr().err
    (tmp_path / "key.pem").write_text(to_pem(key.public_key))
    assert verify([str(tmp_path), "--key", str(tmp_path / "key.pem")]) == 1
    assert "no bundle here" in capsys.readouterr().err
