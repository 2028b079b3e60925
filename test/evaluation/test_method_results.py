# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results of a method on disk."""

import json

import numpy as np
import pytest

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation import QueryResult
from caldiff_ros.evaluation.method_results import MapSpec, MethodResults


@pytest.fixture
def saved(tmp_path):
    cell = MethodResults(
        path=tmp_path / 'fast.json',
        map_spec=MapSpec('chair', '50-25', 0),
        method='fast',
        identity={'seed': 0},
    )
    cell.begin_session('cpu')
    T = np.eye(4)
    cell.add(QueryResult('q', T, T, 0.1, 0.1, 1.0, 6.5, 'LOCALIZED', '', 0.5, 0.01, 1.0))
    return cell


def rename_map(path, old, new):
    content = json.loads(path.read_text())
    content[new] = content.pop(old)
    path.write_text(json.dumps(content))


def rename(path, old, new):
    content = json.loads(path.read_text())
    for query in content['queries']:
        query[new] = query.pop(old)
    path.write_text(json.dumps(content))


def test_results_that_were_written_with_older_names_can_be_read(saved):
    rename(saved.path, 'nees', 'squared_error')
    rename_map(saved.path, 'map_spec', 'setting')
    assert MethodResults.load(saved.path).map_spec == saved.map_spec
    assert MethodResults.load(saved.path).queries['q'].nees == 6.5


def test_results_without_nees_are_refused(saved):
    rename(saved.path, 'nees', 'other')
    with pytest.raises(CaldiffError, match='holds no results of a method'):
        MethodResults.load(saved.path)
