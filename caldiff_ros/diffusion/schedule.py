# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Noise schedules and the reverse steps on pose vectors (section 3.5).

A pose vector is (x, y, z, qw, qx, qy, qz): a position in normalized coordinates and a quaternion.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class ScheduleConfig:
    """How much noise a pose carries at each step."""

    steps: int = 50
    """N, the steps of the forward process."""
    beta_start: float = 0.0001
    """beta_0 of the linear schedule."""
    beta_end: float = 0.02
    """beta_N of the linear schedule."""
    zero_terminal_snr: bool = True
    """Stretch the schedule so that nothing of the pose is left at step N, where particles start at
    random. The paper's numbers give alpha_bar_N = 0.60: the signal is still 0.77 of the pose, and
    the denoiser was never trained on the uniform particles of section 3.3."""


def alpha_bars(config: ScheduleConfig) -> Tensor:
    """alpha_bar_t = prod_{i <= t} (1 - beta_i) of equation 2 for t = 0..N, (N + 1,) float64.

    beta_t = beta_0 + t (beta_N - beta_0) / N (section 4.2); alpha_bar_0 = 1 is the clean pose.
    """
    t = torch.arange(1, config.steps + 1, dtype=torch.float64)
    betas = config.beta_start + t * (config.beta_end - config.beta_start) / config.steps

    if config.zero_terminal_snr:
        from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

        betas = rescale_zero_terminal_snr(betas)

    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])


def normalize_quaternion(vectors: Tensor) -> Tensor:
    """Pose vectors (..., 7) with their quaternion scaled to unit norm."""
    quaternion = torch.nn.functional.normalize(vectors[..., 3:], dim=-1)
    return torch.cat([vectors[..., :3], quaternion], dim=-1)


def add_noise(clean: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Equation 2: pose vectors (..., 7) at ``alpha_bar`` (..., 1)."""
    return alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise


def implied_noise(noisy: Tensor, clean: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that equation 2 would have added to ``clean`` to give ``noisy``."""
    return (noisy - alpha_bar.sqrt() * clean) / (1 - alpha_bar).clamp_min(1e-12).sqrt()


def implied_clean(noisy: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The pose that equation 2 would have made ``noisy`` by adding ``noise``."""
    return (noisy - (1 - alpha_bar).sqrt() * noise) / alpha_bar.clamp_min(1e-12).sqrt()


Sampler = Literal['ancestral', 'ddim']


@dataclass(frozen=True)
class ReverseStep:
    """One step of the reverse process, from alpha_bar_t to alpha_bar_{t-1}."""

    t: int
    alpha_bar: float
    alpha_bar_next: float

    def ancestral(self, noisy: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
        """Equation 3 with psi from the predicted clean pose, and the quaternion normalized.

        The paper's last term is (1 - alpha_t) eps, as printed; DDPM has its square root.
        """
        alpha_bar = noisy.new_full((), self.alpha_bar)
        alpha = self.alpha_bar / self.alpha_bar_next
        psi = implied_noise(noisy, clean, alpha_bar)
        mean = (noisy - (1 - alpha) / (1 - alpha_bar).sqrt() * psi) / alpha**0.5

        return normalize_quaternion(mean + (1 - alpha) * noise)

    def ddim(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Deterministic DDIM step (arXiv 2010.02502, eq. 12), quaternion normalized at the end.

        The quaternion of a noisy pose keeps its length: it is a Gaussian vector, not a rotation.
        """
        alpha_bar = noisy.new_full((), self.alpha_bar)
        after = noisy.new_full((), self.alpha_bar_next)
        moved = add_noise(clean, implied_noise(noisy, clean, alpha_bar), after)
        return normalize_quaternion(moved) if self.alpha_bar_next == 1 else moved


@functools.lru_cache(maxsize=8)
def reverse_steps(config: ScheduleConfig, n_steps: int) -> tuple[ReverseStep, ...]:
    """``n_steps`` steps from t = N to 0, evenly spaced ('trailing': the first is always t = N)."""
    bars = alpha_bars(config).tolist()
    ts = torch.linspace(config.steps, 0, n_steps + 1).round().long().tolist()
    return tuple(ReverseStep(t, bars[t], bars[t_next]) for t, t_next in itertools.pairwise(ts))
