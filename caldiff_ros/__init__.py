# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Global camera relocalization in a radiance field, with no prior (CaLDiff)."""

__version__ = '0.1.0'
