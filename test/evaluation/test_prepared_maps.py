# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the maps of an experiment are made of."""

import json

import pytest
import torch
from plane_world import VIEWS_GL, photograph, write_png

from caldiff_ros.evaluation import prepared_maps
from caldiff_ros.evaluation.experiment import OutOfTime
from caldiff_ros.evaluation.method_results import MapSpec
from caldiff_ros.evaluation.prepared_maps import ExperimentConfig, SceneSplit, prepare_map

SPEC = MapSpec('hall', '2-2', 0)


@pytest.fixture
def data(tmp_path):
    """The folder of a capture of four photographs, 1200x800."""
    root = tmp_path / 'data/hall'
    frames = []
    for number, T in enumerate(VIEWS_GL):
        write_png(root / f'images/{number}.png', photograph(T, 1200, 800, 1000.0)[0])
        frames.append({'file_path': f'images/{number}.png', 'transform_matrix': T.tolist()})
    content = {'fl_x': 1000.0, 'fl_y': 1000.0, 'cx': 600.0, 'cy': 400.0, 'w': 1200, 'h': 800}
    (root / 'transforms.json').write_text(json.dumps({**content, 'frames': frames}))
    return root.parent


@pytest.mark.parametrize(('image_width', 'size'), [(160, (160, 107)), (None, (480, 320))])
def test_a_map_has_the_width_of_the_table_or_that_of_build_map(
    data, tmp_path, monkeypatch, image_width, size
):
    built_of = []

    def build_map(data, config, context):
        built_of.append(data)
        raise OutOfTime

    monkeypatch.setattr(prepared_maps, 'build_map', build_map)
    config = ExperimentConfig(data, tmp_path / 'output', image_width, queries=1)
    split = SceneSplit.open(SPEC, config)
    with pytest.raises(OutOfTime):
        prepare_map(SPEC, split, config, torch.device('cpu'), report=print)
    [used] = built_of
    assert (used.camera.width, used.camera.height) == size
    # one query is asked, but the map is judged by all test images
    assert (len(split.queries), len(used.held_out)) == (1, 2)
