"""`scripts/build core|serving|models|tables|function FOLDER`: fill a folder with a layer, or finish a function's."""

import argparse
import os
import sys
from pathlib import Path

from artifacts.layers import BUILDERS, finish
from artifacts.target import BuildError, read_target


def main() -> int:
    """Build one part; 1 with a message when it cannot be built."""
    parser = argparse.ArgumentParser(prog="scripts/build", description=__doc__)
    parser.add_argument("part", choices=[*BUILDERS, "function"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        target = read_target(os.environ)
        if arguments.part == "function":
            finish("function", target, arguments.folder)
        else:
            BUILDERS[arguments.part](target, arguments.folder)
    except BuildError as error:
        print(f"scripts/build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
