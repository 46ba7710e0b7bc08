"""Joins the feedback in a folder with the traffic there, by our own code or by DuckDB, and prints what that took.

Both come to the same: every vote with the text that it is on. DuckDB reads all objects itself, here from the disk; in
S3 that takes an extension, which it fetches from the network, or all objects on the disk of the function first. Ours
takes three times the processor's time, but a stream of objects is all that it needs, and a freeze takes twice as much.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.subjects.freezing import FolderClient, FolderTable, peak_mb, window_of
from pawl.bucket import Bucket
from pawl.feedback import FeedbackTable
from pawl.tombstones import Tombstones
from pawl.traffic import Traffic
from retrain.joining import join
from retrain.selection import Selection, select

MODEL, VERSION = "triage", "1"
JOIN = """
    SELECT said.feedback_id, said.rater, said.value[1], answered.inputs.text[1]
    FROM read_json($feedback, format = 'newline_delimited', columns = {
        inference_id: 'VARCHAR', feedback_id: 'VARCHAR', rater: 'VARCHAR', value: 'VARCHAR[]',
        metric: 'VARCHAR', model_version: 'VARCHAR'}) AS said
    JOIN read_json($traffic, format = 'newline_delimited', columns = {
        inference_id: 'VARCHAR', inputs: 'STRUCT(text VARCHAR[])'}) AS answered USING (inference_id)
    WHERE said.metric IN ('label', 'correction') AND said.model_version = $version
"""


def by_hand(folder: Path) -> set[tuple[str, ...]]:
    """Every vote by its feedback's id, rater, label and text, as a freeze joins them."""
    bucket: Any = Bucket(FolderClient(folder / "s3"), "lake")  # type: ignore[arg-type]
    table = FeedbackTable(FolderTable(folder / "feedback"))  # type: ignore[arg-type]
    window = window_of(folder)
    said = select(table.within(MODEL, *window), Selection(MODEL, VERSION, window), Tombstones()).said
    wanted = {each.inference_id for each in said}
    joined = join(Traffic(bucket).answers(MODEL, VERSION, *window, wanted), said)
    return {(vote.id.rpartition("#")[0], vote.rater, str(vote.value), vote.item) for vote in joined.votes}


def by_engine(folder: Path) -> set[tuple[str, ...]]:
    """The same by DuckDB on one thread."""
    with duckdb.connect(config={"threads": 1, "temp_directory": str(folder)}) as engine:
        places = {
            "feedback": f"{folder}/feedback/*",
            "traffic": f"{folder}/s3/traffic/{MODEL}/{VERSION}/*/*.jsonl.gz",
            "version": VERSION,
        }
        rows = engine.execute(JOIN, places).fetchall()
    return {(feedback, rater, label, text.casefold().strip()) for feedback, rater, label, text in rows}


def main(how: str, folder: Path) -> None:
    """Join, and print seconds, peak and a digest of what came out as JSON."""
    began, cpu_began = time.perf_counter(), time.process_time()
    votes = {"hand": by_hand, "engine": by_engine}[how](folder)
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu_began}
    digest = hashlib.sha256(json.dumps(sorted(votes)).encode()).hexdigest()
    print(json.dumps({**took, "peak_mb": peak_mb(), "votes": len(votes), "digest": digest}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
