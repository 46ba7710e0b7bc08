"""What permits a page to send: presigned POSTs into the inbox of a deployment, for some days and for some names alone.

A presigned PUT would be for one name. These are for all names that begin with a prefix, up to a size, and carry no key
of the account; the page gets them after the `#` of a link, which browsers send to no server. They end with the
credentials that have signed them: those of a role live for hours, whatever was asked for.
"""

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

MOST_BYTES = 50_000_000
MOST_DAYS = 7
"""S3 takes no longer ones."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A presigned POST for the names that begin with `prefix`."""

    prefix: str
    url: str
    fields: dict[str, str]


def s3() -> Any:
    """A client that signs for the bucket's own region: a page follows no redirect."""
    return boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "auto"}))


def passes(client: Any, bucket: str, model: str, days: float) -> list[Pass]:
    """For a device's counts of its answers by any version of a model, and for its feedback."""
    return [_pass(client, bucket, prefix, days) for prefix in (f"inbox/traffic/{model}/", "inbox/feedback/device-")]


def origin(client: Any, bucket: str) -> str:
    """Where such POSTs go, as a Content-Security-Policy names it."""
    found = urlsplit(_pass(client, bucket, "inbox/", 1).url)
    return f"{found.scheme}://{found.netloc}"


def fragment(granted: list[Pass], now_ms: int, days: float) -> str:
    """What is put at the end of the page's address."""
    told = {"expires_ms": now_ms + round(days * 86_400_000), "passes": [asdict(each) for each in granted]}
    text = json.dumps(told, separators=(",", ":"), sort_keys=True)
    return "#grant=" + base64.urlsafe_b64encode(text.encode()).decode()


def _pass(client: Any, bucket: str, prefix: str, days: float) -> Pass:
    made = client.generate_presigned_post(
        bucket,
        prefix + "${filename}",
        Conditions=[["content-length-range", 1, MOST_BYTES]],
        ExpiresIn=round(days * 86_400),
    )
    return Pass(prefix, made["url"], {name: value for name, value in made["fields"].items() if name != "key"})
