# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The script that measures what the check finds."""

import runpy
import sys
from pathlib import Path

from textured_room import walk, write_room

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts/measure_check.py'


def test_what_is_done_to_a_good_dataset_is_reported(tmp_path, monkeypatch, capsys):
    write_room(tmp_path / 'room', walk())
    monkeypatch.setattr(sys, 'argv', ['measure_check.py', str(tmp_path / 'room')])
    main = runpy.run_path(str(SCRIPT))['main']
    monkeypatch.setitem(main.__globals__, '_MIRRORED', 3)
    main()
    found = dict(line.split(': ', 2)[1:] for line in capsys.readouterr().out.splitlines())
    assert found['nothing'] == 'nothing found'
    assert found['poses in another convention'] == '3 of 3 correct'
    assert found['w and h doubled'] in ('reported 1.99', 'reported 2.00', 'reported 2.01')
    # 100 / 115 and 100 / 85
    reported = [int(found[f'focal length times {factor}'].split()[1]) for factor in (1.15, 0.85)]
    assert abs(reported[0] - 87) <= 3 and abs(reported[1] - 118) <= 3
    assert found['poses of a tenth exchanged'] == '2 of 2 counted'
    assert found['one frame mirrored'] == 'named 3 times of 3'
