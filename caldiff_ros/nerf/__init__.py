# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Radiance fields: the protocol, the fields, rendering and training."""
