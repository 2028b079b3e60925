# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian splatting written down once more: every Gaussian in every pixel, in PyTorch."""

from __future__ import annotations

import torch

from caldiff_ros.geometry import Camera, Pose


def sh_basis(d):
    """Real spherical harmonics up to degree 3 of unit vectors (N, 3), from their definition.

    Y_lm = N_lm P_l^m(cos theta) sqrt(2) {cos, sin}(m phi), with the Condon-Shortley phase, m from
    -l to l: (N, 16).
    """
    x, y, z = d.unbind(-1)
    phi = torch.atan2(y, x)
    s = (x * x + y * y).sqrt()
    legendre = {
        (0, 0): torch.ones_like(z),
        (1, 0): z,
        (1, 1): -s,
        (2, 0): (3 * z**2 - 1) / 2,
        (2, 1): -3 * z * s,
        (2, 2): 3 * s**2,
        (3, 0): (5 * z**3 - 3 * z) / 2,
        (3, 1): -1.5 * (5 * z**2 - 1) * s,
        (3, 2): 15 * z * s**2,
        (3, 3): -15 * s**3,
    }
    factorial = [1, 1, 2, 6, 24, 120, 720]
    columns = []
    for degree in range(4):
        for m in range(-degree, degree + 1):
            a = abs(m)
            norm = (
                (2 * degree + 1) / (4 * torch.pi) * factorial[degree - a] / factorial[degree + a]
            ) ** 0.5
            turn = 1.0 if m == 0 else 2**0.5 * (torch.cos(a * phi) if m > 0 else torch.sin(a * phi))
            columns.append(norm * legendre[degree, a] * turn)
    return torch.stack(columns, dim=-1)


def rotations(quaternions):
    """Of quaternions (N, 4), w first: v -> q v q*, column by column."""
    q = quaternions / quaternions.norm(dim=-1, keepdim=True)
    w, r = q[:, :1], q[:, 1:]
    columns = []
    for axis in torch.eye(3).to(q):
        v = axis.expand(len(q), 3)
        columns.append(v + 2 * torch.linalg.cross(r, torch.linalg.cross(r, v) + w * v))
    return torch.stack(columns, dim=-1)


def reference_splat(gaussians, pose: Pose, camera: Camera, near: float, dilation=0.0, blur=0.3):
    """Pixels (H * W, 5) that one pose, batch shape (), shows: colour, depth, opacity."""
    means, scales, quaternions, opacities, harmonics = gaussians
    p = (means - pose.t) @ pose.R
    ahead = (p[:, 2] > near).nonzero()[:, 0]
    ahead = ahead[p[ahead, 2].argsort()]
    p = p[ahead]
    x, y, z = p.unbind(-1)

    axes = rotations(quaternions)[ahead] * scales[ahead][:, None]
    covariance = pose.R.T @ axes @ axes.transpose(1, 2) @ pose.R
    zero = torch.zeros_like(z)
    # held where it is at most 15 % of the image beyond its edge
    left, right = -0.15 * camera.width - camera.cx, 1.15 * camera.width - camera.cx
    above, below = -0.15 * camera.height - camera.cy, 1.15 * camera.height - camera.cy
    at_x = (x / z).clamp(left / camera.fx, right / camera.fx)
    at_y = (y / z).clamp(above / camera.fy, below / camera.fy)
    J = torch.stack(
        [
            torch.stack([camera.fx / z, zero, -camera.fx * at_x / z], dim=-1),
            torch.stack([zero, camera.fy / z, -camera.fy * at_y / z], dim=-1),
        ],
        dim=1,
    )
    sharp = J @ covariance @ J.transpose(1, 2) + dilation * torch.eye(2).to(z)
    filtered = sharp + blur * torch.eye(2).to(z)
    share = (torch.linalg.det(sharp).clamp_min(0) / torch.linalg.det(filtered)).sqrt()
    opacity = opacities[ahead] * share

    pixels = torch.from_numpy(camera.pixel_centers()).to(p)
    center = torch.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], dim=-1)
    d = pixels[:, None] - center[None]
    q = torch.einsum('kni,nij,knj->kn', d, torch.linalg.inv(filtered), d) / 2
    alpha = (opacity * torch.exp(-q)).clamp_max(0.999)
    alpha = torch.where(alpha < 1 / 255, 0.0, alpha)

    through = torch.cumprod(1 - alpha, dim=1)
    weight = alpha * torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], dim=1)
    direction = means[ahead] - pose.t
    basis = sh_basis(direction / direction.norm(dim=-1, keepdim=True))[:, : harmonics.shape[1]]
    rgb = (torch.einsum('nk,nkc->nc', basis, harmonics[ahead]) + 0.5).clamp_min(0)
    values = torch.cat([rgb, z[:, None], torch.ones_like(z)[:, None]], dim=-1)
    return weight @ values
