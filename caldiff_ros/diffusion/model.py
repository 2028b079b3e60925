# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose diffusion model: conditioning network, denoiser and their noise schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caldiff_ros.diffusion.conditioning import (
    ConditioningConfig,
    ConditioningNetwork,
    drop_out,
    make_conditioning,
)
from caldiff_ros.diffusion.denoiser import Denoiser, DenoiserConfig
from caldiff_ros.diffusion.schedule import ScheduleConfig, alpha_bars, implied_clean
from caldiff_ros.recording import Recorded


@dataclass(frozen=True)
class DiffusionConfig:
    """What a pose diffusion model consists of."""

    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    prediction: Literal['sample', 'epsilon'] = 'sample'
    """What the denoiser's output means: the clean pose, or the noise as in the paper. Noise says
    nothing about the pose at zero terminal SNR."""


class PoseDiffusion(nn.Module):
    """Predicts the clean pose behind a noisy one, given an image.

    Args:
        config: the parts.
        conditioning: the conditioning network that `make_conditioning` made.
    """

    def __init__(self, config: DiffusionConfig, conditioning: ConditioningNetwork) -> None:
        super().__init__()
        self.config = config
        self.conditioning = conditioning
        self.denoiser = Denoiser(config.denoiser, config.conditioning.width)
        self._bars = alpha_bars(config.schedule).numpy()
        self._record()

    def _record(self) -> None:
        """Forget what was recorded of the networks."""
        self._backbone_features = Recorded(self.conditioning.extract_features)
        self._denoised = Recorded(self.denoiser)

    def _apply(self, *args: Any, **kwargs: Any) -> PoseDiffusion:
        """Moved to another device, for one: what was recorded before is forgotten."""
        super()._apply(*args, **kwargs)
        self._record()
        return self

    @classmethod
    def make(cls, config: DiffusionConfig, weights: Path | None = None) -> PoseDiffusion:
        """An untrained model, its backbone with ImageNet weights where they can be had."""
        return cls(config, make_conditioning(config.conditioning, weights))

    def encode(self, images: Tensor, n: int, dropout: float, generator: torch.Generator) -> Tensor:
        """The feature f for n particles, (n, F); particle i is shown image i modulo B.

        With ``dropout`` each particle does not see another random share of what the backbone found,
        so that the particles spread as far as the model is unsure.

        Args:
            images: (B, H, W, 3) in 0..1, of any resolution.
            n: number of particles.
            dropout: share of the backbone's features that a particle does not see.
            generator: draws that share.
        """
        shown = torch.arange(n, device=images.device) % len(images)
        features = self.extract_features(images)
        if dropout == 0:
            return self.conditioning.project(features)[shown]

        return self.conditioning.project(drop_out(features[shown], dropout, generator))

    def extract_features(self, images: Tensor) -> Tensor:
        """Backbone features (B, D) of images (B, H, W, 3) in 0..1, of any resolution."""
        return self._backbone_features(self.network_input(images))

    def network_input(self, images: Tensor) -> Tensor:
        """Images (B, H, W, 3) as (B, 3, h, w) of the size that the network was trained on."""
        images = images.permute(0, 3, 1, 2)
        scale = self.config.conditioning.image_size / max(images.shape[2:])
        size = [max(1, round(side * scale)) for side in images.shape[2:]]
        return F.interpolate(images, size, mode='bilinear', antialias=scale < 1)

    def time_of(self, alpha_bar: float) -> float:
        """The step, not necessarily whole, at which this model was trained on ``alpha_bar``.

        A sampler may use another schedule than the training: what the denoiser needs to know is
        how noisy a pose is. Noise beyond the trained range counts as the noisiest trained step.
        """
        steps = np.arange(len(self._bars))
        return float(np.interp(-alpha_bar, -self._bars, steps))

    def predict_clean(
        self, noisy: Tensor, alpha_bar: Tensor, t: Tensor, features: Tensor
    ) -> Tensor:
        """The clean pose vectors behind noisy ones.

        Args:
            noisy: (P, 7).
            alpha_bar: (P, 1), how noisy they are.
            t: (P,), the steps that go with ``alpha_bar``, see `time_of`.
            features: (P, F).

        Returns:
            (P, 7), the quaternion as predicted, not normalized.
        """
        out = self._denoised(noisy, t, features)
        return out if self.config.prediction == 'sample' else implied_clean(noisy, out, alpha_bar)
