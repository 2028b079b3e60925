# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the search begins: uniform particles."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_particles(n: int, generator: torch.Generator) -> Tensor:
    """Pose vectors (n, 7), uniform in the cube and over rotations (section 3.3, equation 1)."""
    position = torch.rand(n, 3, generator=generator) - 0.5
    u, v, w = torch.rand(3, n, generator=generator)
    v, w = 2 * torch.pi * v, 2 * torch.pi * w
    a, b = (1 - u).sqrt(), u.sqrt()
    quaternion = torch.stack([a * v.sin(), a * v.cos(), b * w.sin(), b * w.cos()], dim=-1)

    return torch.cat([position, quaternion], dim=-1)
