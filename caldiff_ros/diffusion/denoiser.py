# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Denoiser D: a multilayer perceptron on pose, time and image feature (sections 3.5 and 3.9)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the denoiser; the layers are those of section 3.9."""

    hidden_layers: int = 5
    """Hidden layers."""
    width: int = 1024
    """Width of the hidden layers."""
    pose_frequencies: int = 6
    """Octaves of the sinusoidal embedding of each of the 7 pose elements; not in the paper."""
    time_frequencies: int = 32
    """Frequencies of the sinusoidal embedding of t; not in the paper."""


def pose_embedding(vectors: Tensor, frequencies: int) -> Tensor:
    """Each element x as x, sin(2^k pi x / 4) and cos(2^k pi x / 4), k < frequencies.

    A quarter of pi, because noisy poses reach beyond -1..1 and must not alias at k = 0.

    Args:
        vectors: (P, 7).
        frequencies: octaves.

    Returns:
        (P, 7 * (1 + 2 * frequencies)).
    """
    scales = torch.pi / 4 * 2.0 ** torch.arange(frequencies, device=vectors.device)
    angles = (vectors[..., None] * scales).flatten(-2)
    return torch.cat([vectors, angles.sin(), angles.cos()], dim=-1)


def time_embedding(t: Tensor, frequencies: int) -> Tensor:
    """The transformer's embedding of steps t (P,), not necessarily whole: (P, 2 * frequencies)."""
    exponents = torch.arange(frequencies, device=t.device, dtype=t.dtype) / frequencies
    angles = t[:, None] * 1000.0**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Denoiser(nn.Module):
    """psi(P_t, t | f).

    Args:
        config: size of the network.
        feature_width: length of the image feature f.
    """

    def __init__(self, config: DenoiserConfig, feature_width: int) -> None:
        super().__init__()
        self.config = config
        n_in = feature_width + 7 * (1 + 2 * config.pose_frequencies) + 2 * config.time_frequencies
        widths = [n_in] + [config.width] * config.hidden_layers
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.SiLU()]

        self.layers = nn.Sequential(*layers, nn.Linear(config.width, 7))

    def forward(self, vectors: Tensor, t: Tensor, features: Tensor) -> Tensor:
        """Pose vectors (P, 7), steps (P,) and features (P, F) to (P, 7)."""
        embedded = [
            features,
            pose_embedding(vectors, self.config.pose_frequencies),
            time_embedding(t, self.config.time_frequencies),
        ]
        return self.layers(torch.cat(embedded, dim=-1))
