# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import gc
import weakref
from pathlib import Path

import pytest
import rclpy
from rclpy.parameter import Parameter

from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.presets import PRESETS
from caldiff_ros.ros.live_parameters import LiveParameters
from caldiff_ros.ros.loaded_map import localizer_config
from caldiff_ros.ros.parameter_docs import parameters_page
from caldiff_ros.ros.parameters import LocalizerParameters, declare_parameters, unknown_parameters

PAGE = Path(__file__).parents[2] / 'docs/parameters.md'


def test_page_is_what_the_code_says():
    assert PAGE.read_text() == parameters_page(), 'run `make docs`'
    assert '## min_confidence\n\n*float, default `0.5`, `0` to `1`*' in parameters_page()


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        ({'preset': 'swift'}, "preset is 'swift', expected one of paper, fast"),
        ({'tf_mode': 'odom'}, "tf_mode is 'odom', expected one of map_to_camera, map_to_base"),
        ({'image_transport': 'theora'}, "'theora', expected one of raw, compressed"),
        ({'tf_mode': 'map_to_base'}, 'base_frame is empty'),
    ],
)
def test_values_that_cannot_be_used(values, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        LocalizerParameters(**values)


def test_numbers_of_the_node_go_over_those_of_the_preset():
    config = localizer_config(
        LocalizerParameters(preset='paper', particles=7, min_confidence=0.25, prior_share=0.125)
    )
    assert (config.particles, config.min_confidence, config.prior_share) == (7, 0.25, 0.125)
    assert config.refinement == PRESETS['paper'].refinement
    assert localizer_config(LocalizerParameters()) == PRESETS['fast']


@pytest.fixture
def make_node():
    context = rclpy.Context()
    rclpy.init(context=context)
    yield lambda **given: rclpy.create_node(
        'parameters',
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    rclpy.shutdown(context=context)


def test_descriptors_explain_and_limit(make_node):
    node = make_node(seed=3)
    assert declare_parameters(node).seed == 3
    seed = node.describe_parameter('seed')
    assert seed.description.startswith('Seed of the particles') and not seed.read_only
    assert seed.integer_range[0].to_value == 2**31 - 1
    rate = node.describe_parameter('continuous_rate')
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (
        0.001,
        100.0,
    )
    assert node.describe_parameter('device').read_only
    assert 'map_to_odom' in node.describe_parameter('tf_mode').additional_constraints


def test_unknown_names_are_reported_with_what_was_meant(make_node):
    node = make_node(image_timout=3.0, use_sim_time=False, zzz=1, seed=3)
    declare_parameters(node)
    near, far = unknown_parameters(node)
    assert "'image_timout' is not known and has no effect, perhaps image_timeout was meant" in near
    assert "'zzz' is not known" in far and 'meant' not in far


def test_a_map_that_was_given_up_is_not_kept_for_a_change():
    """Cleanup frees the field and the model, also after a parameter has changed."""

    class Loaded:
        parameters = None
        map = None

        def changed(self, parameters, read_again):
            return self

    rclpy.init()
    try:
        node = rclpy.create_node('freeing')
        live = LiveParameters(node, lambda changed: None)
        live.loaded_map = Loaded()
        gone = weakref.ref(live.loaded_map)
        assert node.set_parameters([Parameter('min_confidence', value=0.25)])[0].successful
        assert live.loaded_map is gone()
        live.free()
        gc.collect()
        assert gone() is None
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
