# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Structure-based localization: DISK, LightGlue, COLMAP (Sarlin et al. 2019), in section 4.2."""

from caldiff_ros.baselines.hloc.localizer import HlocLocalizer, make_hloc

__all__ = ['HlocLocalizer', 'make_hloc']
