# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Turned images against photographs by cameras that were really turned."""

import pytest
import torch
import wall

from caldiff_ros.localization.rolls import turned_images


@pytest.mark.parametrize('n', [1, 4, 6])
def test_a_turned_image_is_what_a_turned_camera_sees(scene, n):
    field, true, query = scene
    images, T_cam_turned = turned_images(query, n)
    assert images.shape == (n, *query.rgb.shape)
    assert torch.equal(images[0], query.rgb)
    height, width = query.seen.shape
    y, x = torch.meshgrid(torch.arange(height) - 39.5, torch.arange(width) - 49.5, indexing='ij')
    common = x**2 + y**2 < 38**2  # seen by every camera
    for i in range(n):
        really = wall.photograph(field, true @ T_cam_turned[i : i + 1], query.camera)
        error = (images[i] - really.rgb)[common].abs().mean()
        assert error < 0.03, i
        if i:
            assert (query.rgb - really.rgb)[common].abs().mean() > 3 * error
