# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Other ways to localize in the same map, with the interface of the localizer."""
