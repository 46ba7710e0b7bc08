"""`scripts/edge MODEL`: packs a signed model for devices that answer by themselves, with or without a network."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from artifacts.target import ROOT, BuildError
from devices.page import write_page
from devices.source import local_source
from pawl.errors import PawlError

EDGE = ROOT / ".pawl" / "edge"


def main(arguments: Sequence[str]) -> int:
    """Pack what the command line names; 1 with a message when that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        source = local_source(options.model, options.key)
        manifest = source.bundle.manifest
        folder = options.output or EDGE / manifest.name / manifest.version
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "page").mkdir(parents=True)
        write_page(source, partial / "page", options.send_to)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (BuildError, PawlError) as error:
        print(f"scripts/edge: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/edge", description=__doc__)
    parser.add_argument("model", help="a bundle's folder, or a model of this machine")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: .pawl/edge/MODEL/VERSION")
    parser.add_argument("--key", type=Path, metavar="PEM", help="public keys to trust (default: this machine's)")
    parser.add_argument("--send-to", metavar="ORIGIN", help="where the page may send to, as https://host")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
