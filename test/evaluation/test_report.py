# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A localizer that answers with set poses is judged, from the image files to the summary."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation import (
    choose_queries,
    run_queries,
    summarize,
    summary_table,
    write_report,
)
from caldiff_ros.evaluation.progress import ProgressLine
from caldiff_ros.localization.answer import Answer, Status
from caldiff_ros.scenes import load_image, open_scene

#: Errors of the first answers in map units along x; the third query finds nothing.
OFFSETS = [0.03, 0.0, None, 0.3]
SIDE_MAP = 2.0


class OffsetLocalizer:
    """Answers the frames in order with their true pose, moved; checks what it is given."""

    def __init__(self, frames):
        self.frames = iter(frames)
        self.offsets = iter(OFFSETS)

    def localize(self, image_rgb, camera):
        frame = next(self.frames)
        np.testing.assert_array_equal(image_rgb, load_image(frame))
        assert camera == frame.camera
        offset = next(self.offsets)
        if offset is None:
            return Answer(Status.NOT_LOCALIZED, 'nothing fits')
        T_map_cam = frame.T_map_cam.copy()
        T_map_cam[0, 3] += offset
        return Answer(Status.LOCALIZED, 'fits', T_map_cam, confidence=0.9, photometric_error=0.01)


@pytest.fixture
def frames(nerfstudio):
    return open_scene(nerfstudio).frames


@pytest.fixture
def queries(frames):
    return run_queries(OffsetLocalizer(frames), frames, SIDE_MAP)


def test_errors_are_in_map_and_normalized_units(queries, frames):
    assert [query.name for query in queries] == [frame.name for frame in frames]
    translation_map = [query.translation_map for query in queries]
    assert translation_map == pytest.approx([0.03, 0, np.inf, 0.3])
    assert queries[0].translation_norm == pytest.approx(0.015)
    assert queries[0].rotation_deg == pytest.approx(0, abs=1e-5)
    assert queries[2].rotation_deg == np.inf


def test_summary_counts_what_is_below_each_threshold(queries):
    queries = [replace(q, seconds=s) for q, s in zip(queries, [1.0, 2.0, 3.0, 14.0], strict=True)]
    summary = summarize(queries, method='caldiff', preset='fast', seed=3)
    # Normalized errors: 0.015, 0, infinite, 0.15.
    assert summary['success_rate'] == [25.0, 50.0, 50.0, 50.0]
    assert summary['thresholds'] == [[0.01, 2.0], [0.025, 5.0], [0.05, 10.0], [0.1, 20.0]]
    assert summary['success_5cm_5deg'] is None
    assert summary['success_2cm_2deg'] is None
    assert summary['median_translation_cm'] is None
    assert summary['median_translation_norm'] == pytest.approx((0.015 + 0.15) / 2)
    assert summary['median_seconds'] == 2.5
    assert summary['p90_seconds'] == pytest.approx(3 + 0.7 * 11)
    assert summary['status_counts'] == {'LOCALIZED': 3, 'NOT_LOCALIZED': 1}
    assert (summary['n_queries'], summary['seed']) == (4, 3)
    assert (summary['method'], summary['preset']) == ('caldiff', 'fast')


def test_metric_success_uses_the_scale(queries):
    options = {'method': 'caldiff', 'preset': 'fast', 'seed': 0}
    summary = summarize(queries, metres_per_unit=1.0, **options)
    assert (summary['success_5cm_5deg'], summary['success_2cm_2deg']) == (50.0, 25.0)
    assert summary['median_translation_cm'] == pytest.approx((3 + 30) / 2)
    assert 'median translation (cm)' in list(summary_table(summary).columns[0].cells)
    summary = summarize(queries, metres_per_unit=0.5, **options)
    assert (summary['success_5cm_5deg'], summary['success_2cm_2deg']) == (50.0, 50.0)
    assert summary['median_translation_cm'] == pytest.approx((1.5 + 15) / 2)


def test_files_are_strict_json_with_every_query(queries, tmp_path):
    summary = summarize(queries[2:], method='caldiff', preset='fast', seed=0)
    write_report(tmp_path / 'new', queries, summary)

    def strict(text):
        raise AssertionError(f'{text} is not JSON')

    written = json.loads((tmp_path / 'new/queries.json').read_text(), parse_constant=strict)
    assert [entry['status'] for entry in written] == ['LOCALIZED'] * 2 + [
        'NOT_LOCALIZED',
        'LOCALIZED',
    ]
    np.testing.assert_allclose(written[0]['T_map_cam_true'], queries[0].T_map_cam_true)
    np.testing.assert_allclose(written[0]['T_map_cam'], queries[0].T_map_cam)
    assert written[2]['T_map_cam'] is None
    assert written[2]['translation_map'] is None
    loaded = json.loads((tmp_path / 'new/summary.json').read_text(), parse_constant=strict)
    assert loaded == summary
    assert loaded['median_rotation_deg'] is None  # one of two answers is missing
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == [
        'queries.json',
        'summary.json',
    ]


def test_a_broken_image_is_a_failed_query(frames):
    frames[0].image_path.write_bytes(b'')
    localizer = OffsetLocalizer(frames[1:])
    queries = run_queries(localizer, frames, SIDE_MAP)
    assert [q.status for q in queries] == ['FAILED', 'LOCALIZED', 'LOCALIZED', 'NOT_LOCALIZED']
    assert 'not a readable image' in queries[0].message
    assert queries[0].translation_norm == np.inf


def test_queries_are_spread_over_the_frames():
    assert choose_queries(range(10), 4) == [0, 3, 6, 9]
    assert choose_queries(range(3), None) == [0, 1, 2]
    assert choose_queries(range(3), 7) == [0, 1, 2]
    with pytest.raises(CaldiffError, match='0 queries'):
        choose_queries(range(3), 0)


def test_an_unwritable_folder_is_refused(queries, tmp_path):
    (tmp_path / 'file').write_text('')
    summary = summarize(queries, method='caldiff', preset='fast', seed=0)
    with pytest.raises(CaldiffError, match='cannot be written'):
        write_report(tmp_path / 'file', queries, summary)


def test_the_table_and_the_progress_line_show_the_counts(frames):
    screen = Console(file=io.StringIO(), width=100, force_terminal=True)
    with ProgressLine(4, screen) as line:
        queries = run_queries(OffsetLocalizer(frames), frames, SIDE_MAP, on_query=line)
    screen.print(summary_table(summarize(queries, method='caldiff', preset='fast', seed=0)))
    text = screen.file.getvalue()
    assert 'right 1/2/2/2' in text
    assert '4/4' in text
    assert '25 % (1 of 4)' in text
    assert 'NOT_LOCALIZED' in text
