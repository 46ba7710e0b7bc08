"""The benchmark of scaling: what it tells of sizes that Evidently finished and of those that it did not."""

import xml.etree.ElementTree as ET

from benchmarks.scaling import Point, svg, table

FEW = Point(1_000, 20, 0.004, 0.016, 50.0, 3.0, 300.0)
MANY = Point(1_000_000, 20, 1.8, 0.018, 90.0)


def test_a_ratio_counts_profiling_in_and_there_is_none_where_there_is_no_report() -> None:
    lines = [line.split() for line in table([FEW, MANY]).splitlines()]

    assert lines[1] == ["1,000", "20", "0.016", "0.02", "3", "150"]
    assert lines[2] == ["1,000,000", "20", "0.018", "1.82", "-", "-"]


def test_the_plot_draws_each_series_as_far_as_it_goes() -> None:
    root = ET.fromstring(svg([FEW, MANY], [FEW, Point(1_000, 200, 0.04, 0.16, 60.0, 19.0, 400.0)]))

    lines = [line.attrib["points"].split() for line in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert list(map(len, lines)) == [2, 2, 1, 2, 2, 2]
