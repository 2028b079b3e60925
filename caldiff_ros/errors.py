# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception that stands for bad input."""


class CaldiffError(Exception):
    """Input that cannot be used.

    The message is one sentence that names the value, what was expected and what to do; the command
    line prints it and exits with status 2, the node answers with it and goes on.
    """


class NoImageError(CaldiffError):
    """A dataset none of whose images is there."""
