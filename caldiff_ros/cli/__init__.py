# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ``caldiff`` command: one verb per file, loaded when it is called.

A verb's module has a dataclass ``Arguments``, whose field docstrings are the help, and a function
``run(arguments)`` that returns the exit status; where defaults depend on other arguments, also a
function ``defaults(argv)``.
"""

from caldiff_ros.cli.command import main

__all__ = ['main']
