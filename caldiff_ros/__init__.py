# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Global camera relocalization in a radiance field, with no prior (CaLDiff)."""

import os

# GNU OpenMP, which PyTorch uses, lets its threads spin for milliseconds after every operation, on
# the cores that our compiled kernels want next. It reads this when it is loaded; a tenth of a
# millisecond bridges operations that follow each other.
if 'OMP_WAIT_POLICY' not in os.environ:
    os.environ.setdefault('GOMP_SPINCOUNT', '10000')

__version__ = '0.1.0'
