# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Splats: radiance fields of Gaussians that others have trained, as files."""
