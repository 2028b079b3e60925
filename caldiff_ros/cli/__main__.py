# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m caldiff_ros.cli``, the same as ``caldiff``."""

import sys

from caldiff_ros.cli.command import main

sys.exit(main())
