# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is broken is left out and counted, each Gaussian once."""

from dataclasses import replace

import numpy as np
import pytest
from splat_files import some_splat

from caldiff_ros.errors import CaldiffError
from caldiff_ros.splats.cleaning import cleaned


def changed(field, number, value):
    splat = some_splat()
    values = getattr(splat, field).copy()
    values[number] = value
    return replace(splat, **{field: values})


@pytest.mark.parametrize(
    ('field', 'value', 'reason'),
    [
        ('means', [0, np.nan, 0], 'not_finite'),
        ('means', [np.inf, 0, 0], 'not_finite'),
        ('log_scales', [np.inf, -4, -4], 'not_finite'),
        ('log_scales', [np.nan, -4, -4], 'not_finite'),
        ('quaternions', [0, 0, 0, 0], 'not_finite'),
        ('quaternions', [np.nan, 0, 0, 0], 'not_finite'),
        ('quaternions', [np.inf, 0, 0, 0], 'not_finite'),
        ('logits', np.nan, 'not_finite'),
        ('harmonics', np.nan, 'not_finite'),
        ('logits', -np.inf, 'transparent'),
        ('logits', np.log(1 / 254) - 0.01, 'transparent'),
        ('log_scales', [-8, -4, -4 + np.log(101)], 'needles'),
        # the box of nine tenths of the centres is 0.36 wide, so 0.62 from corner to corner
        ('log_scales', [np.log(7), np.log(7), -4], 'too_large'),
    ],
)
def test_each_reason(field, value, reason):
    splat, counts = cleaned(changed(field, 17, value))
    assert getattr(counts, reason) == counts.total == 1
    assert len(splat) == 299
    kept = np.delete(np.arange(300), 17)
    np.testing.assert_array_equal(splat.means, some_splat().means[kept])
    np.testing.assert_array_equal(splat.harmonics, some_splat().harmonics[kept])


@pytest.mark.parametrize(
    ('field', 'value', 'expected'),
    [
        ('logits', np.log(1 / 254) + 0.01, np.log(1 / 254) + 0.01),
        ('logits', np.inf, 14),  # an opacity of 1
        ('log_scales', [-np.inf, -4, -4], [-20, -4, -4]),  # flat
        ('log_scales', [-8, -5, -5 + np.log(99)], [-8, -5, -5 + np.log(99)]),
        ('log_scales', [np.log(5.5)] * 3, [np.log(5.5)] * 3),
        ('quaternions', [3, 0, 4, 0], [0.6, 0, 0.8, 0]),
    ],
)
def test_what_stays(field, value, expected):
    splat, counts = cleaned(changed(field, 17, value))
    assert counts.total == 0
    np.testing.assert_allclose(getattr(splat, field)[17], expected, rtol=1e-6)


def test_one_that_is_broken_twice_is_counted_once():
    values = {'means': some_splat().means.copy(), 'logits': some_splat().logits.copy()}
    values['means'][3], values['logits'][3:5] = np.nan, -9
    _, counts = cleaned(replace(some_splat(), **values))
    assert (counts.not_finite, counts.transparent, counts.total) == (1, 1, 2)
    assert str(counts) == '2 Gaussians left out: 1 not finite, 1 transparent'
    assert str(cleaned(some_splat())[1]) == '0 Gaussians left out'


def test_nothing_left_is_told():
    faint = replace(some_splat(), logits=np.full(300, -9, np.float32))
    with pytest.raises(CaldiffError, match='none of the 300 Gaussians'):
        cleaned(faint)


def test_one_gaussian_alone_is_never_too_large():
    splat, counts = cleaned(some_splat(1))
    assert len(splat) == 1
    assert counts.total == 0
