"""`scripts/profile FILE`: what a CSV, JSON lines or Parquet file looks like, and how far it is from another one."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from drift.judgement import compare
from pawl.errors import PawlError
from pawl.profile import Profile
from profiling.readers import profile_file
from profiling.tables import describe, drift_table, profile_table


def main(arguments: list[str] | None = None) -> int:
    """Print the profile of a file and, where asked to, its comparison; 1 with a message when it cannot be read."""
    options = _parse(arguments)
    try:
        reference = _reference(options)
        recent = Profile.open() if reference is None else Profile.like(reference, is_open=True)
        profile_file(options.file, recent)
        drifts = compare(reference, recent) if reference else []
    except (PawlError, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        print(f"scripts/profile: {error}", file=sys.stderr)
        return 1
    if options.save:
        options.save.write_text(recent.to_json(), encoding="utf-8")
    if options.json:
        told = {"rows": recent.rows, "columns": describe(recent), "drift": [asdict(each) for each in drifts]}
        print(json.dumps(told, allow_nan=False))
        return 0
    print(f"{options.file.name}: {recent.rows} rows\n\n{profile_table(recent)}")
    if reference:
        print(f"\ncompared with {reference.rows} rows\n\n{drift_table(drifts)}")
    return 0


def _reference(options: argparse.Namespace) -> Profile | None:
    if options.compare:
        return profile_file(options.compare, Profile.open())
    return Profile.from_json(options.reference.read_bytes()) if options.reference else None


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__)
    parser.add_argument("file", type=Path, help="ends in .csv, .jsonl, .ndjson or .parquet, or in .gz after that")
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--compare", type=Path, metavar="EARLIER", help="a file that FILE is compared with")
    against.add_argument("--reference", type=Path, metavar="PROFILE", help="a saved profile, such as reference.json")
    parser.add_argument("--save", type=Path, metavar="PROFILE", help="keep the profile, for a later --reference")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
