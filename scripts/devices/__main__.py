"""`scripts/edge MODEL`: packs a signed model for devices that answer by themselves, with or without a network."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from botocore.exceptions import BotoCoreError, ClientError

from artifacts.target import ROOT, BuildError
from devices.grant import MOST_DAYS, fragment, origin, passes, s3
from devices.package import write_package
from devices.source import Source, local_source, stack_source
from operations.stack import OperationError, Stack
from pawl.errors import PawlError

EDGE = ROOT / ".pawl" / "edge"


def main(arguments: Sequence[str]) -> int:
    """Pack what the command line names, or permit a page to send; 1 with a message when that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        if options.grant:
            print(_grant(options))
            return 0
        with TemporaryDirectory() as scratch:
            _pack(options, _source(options, Path(scratch)))
    except (BuildError, OperationError, PawlError, BotoCoreError, ClientError) as error:
        print(f"scripts/edge: {error}", file=sys.stderr)
        return 1
    return 0


def _source(options: argparse.Namespace, scratch: Path) -> Source:
    if options.stack:
        return stack_source(Stack(options.stack), options.model, scratch)
    return local_source(options.model, options.key)


def _pack(options: argparse.Namespace, source: Source) -> None:
    manifest = source.bundle.manifest
    folder: Path = options.output or EDGE / manifest.name / manifest.version
    send_to = origin(s3(), Stack(options.stack).bucket.name) if options.stack else options.send_to
    for part in write_package(source, folder, send_to):
        size = sum(path.stat().st_size for path in (folder / part).rglob("*") if path.is_file()) / 1e6
        print(f"{folder / part}  {size:.1f} MB")


def _grant(options: argparse.Namespace) -> str:
    if not options.stack:
        raise BuildError("--grant needs --stack: it is a deployment that permits")
    if not 0 < options.days <= MOST_DAYS:
        raise BuildError(f"--days {options.days:g}: want at most {MOST_DAYS}")
    granted = passes(s3(), Stack(options.stack).bucket.name, options.model, options.days)
    return fragment(granted, time.time_ns() // 1_000_000, options.days)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/edge", description=__doc__)
    parser.add_argument("model", help="a bundle's folder, or a model of this machine or stack")
    parser.add_argument("--stack", metavar="NAME", help="take what is live there, and let the page send there")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: .pawl/edge/MODEL/VERSION")
    parser.add_argument("--key", type=Path, metavar="PEM", help="public keys to trust (default: this machine's)")
    parser.add_argument("--send-to", metavar="ORIGIN", help="where the page may send to, as https://host")
    parser.add_argument("--grant", action="store_true", help="print what permits a page to send, for its address")
    parser.add_argument("--days", type=float, default=MOST_DAYS, help=f"how long it is permitted; at most {MOST_DAYS}")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
