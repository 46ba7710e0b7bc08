"""The deployment's signing key, in KMS: no function ever sees its private half."""

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class KmsKey:
    """An asymmetric KMS key (ECC_NIST_P256, SIGN_VERIFY), by its ARN."""

    client: Any
    arn: str

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return self.client.get_public_key(KeyId=self.arn)["PublicKey"]

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 over `message`, in DER; KMS is sent the digest, as it takes 4,096 bytes at most."""
        digest = hashlib.sha256(message).digest()
        reply = self.client.sign(KeyId=self.arn, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
        return reply["Signature"]
