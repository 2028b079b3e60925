# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that makes a map; a robot that uses one never loads this."""
