# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: held-out images through the localizer node, judged against their true poses."""
