# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""nerfacto, the field of nerfstudio, as a `RadianceField`; needs the package nerfstudio."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.nerf.field import RayField, Rendering

if TYPE_CHECKING:
    from nerfstudio.cameras.rays import RaySamples

#: Rays whose samples are in memory at once.
_CHUNK = 1 << 13
#: Metrics of images, not part of the model; their constructor downloads weights.
_LPIPS = 'torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity'
#: Shares of a ray's weight between which the surface is.
_MIDDLE = (0.4, 0.6)


@dataclass(frozen=True)
class NerfactoConfig:
    """What a `NerfactoField` is built from.

    Attributes:
        settings: plain fields of nerfstudio's ``NerfactoModelConfig``.
        nerf_from_norm: rows of the (3, 4) similarity from normalized to nerfstudio's coordinates.
        n_images: size of the appearance embedding.
        box_side: edge of nerfstudio's scene box, which is centred on its origin.
    """

    settings: dict[str, Any]
    nerf_from_norm: tuple[tuple[float, ...], ...]
    n_images: int
    box_side: float


class NerfactoField(RayField, nn.Module):
    """A nerfacto model in normalized coordinates, at its average appearance.

    Args:
        config: see `NerfactoConfig`.
        aabb: box around the training cameras, (2, 3), normalized coordinates; the field itself is
            unbounded.
        background: 'white', 'black' or 'none', what was behind images with alpha; it is part of
            the trained field.

    Raises:
        CaldiffError: if nerfstudio is not installed, or cannot build the model on this machine.
    """

    kind = 'nerfacto'
    aabb: Tensor
    nerf_from_norm: Tensor

    def __init__(self, config: NerfactoConfig, aabb: Tensor, background: str = 'none') -> None:
        super().__init__()
        self.config = config
        self.background = background
        self.register_buffer('aabb', aabb.float().clone())
        similarity = torch.tensor(config.nerf_from_norm, dtype=torch.float32)
        self.register_buffer('nerf_from_norm', similarity, persistent=False)
        self.model = _make_model(config)

    def rays_at_once(self, device: torch.device) -> int:
        """Most rays whose samples are in memory at once."""
        return _CHUNK

    def render_rays(self, origins: Tensor, directions: Tensor) -> Rendering:
        """See `RayField.render_rays`; depth is that of `SurfaceDepth`."""
        from nerfstudio.cameras.rays import RayBundle

        A, b = self.nerf_from_norm[:, :3], self.nerf_from_norm[:, 3]
        directions_nerf = directions @ A.T
        length = directions_nerf.norm(dim=-1, keepdim=True)  # nerf units per unit of t
        n = len(origins)
        bundle = RayBundle(
            origins=origins @ A.T + b,
            directions=directions_nerf / length,
            pixel_area=torch.ones_like(length),
            camera_indices=torch.zeros(n, 1, dtype=torch.long, device=origins.device),
            metadata={'directions_norm': length},
        )

        out = self.model(bundle)
        depth = out['expected_depth'] / length
        return Rendering(out['rgb'], depth[:, 0], out['accumulation'][:, 0])


def _make_model(config: NerfactoConfig) -> nn.Module:
    """The model of nerfstudio without its image metrics, in evaluation mode."""
    try:
        from nerfstudio.data.scene_box import SceneBox
        from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
    except ImportError as error:
        raise CaldiffError(
            f'nerfstudio cannot be imported ({error}), expected it for a nerfacto field; install '
            'it with pip install nerfstudio, or bake the run into a map that does not need it with '
            'caldiff build-map --bake'
        ) from error

    known = {field.name for field in fields(NerfactoModelConfig)}
    settings = {
        name: tuple(value) if name == 'num_proposal_samples_per_ray' else value
        for name, value in config.settings.items()
        if name in known and not name.startswith('_') and name != 'camera_optimizer'
    }

    if settings.get('implementation') == 'tcnn':
        _require_tcnn()

    half = config.box_side / 2
    box = SceneBox(aabb=torch.tensor([[-half] * 3, [half] * 3]))
    model_config = NerfactoModelConfig(**settings)
    model_config.camera_optimizer.mode = 'off'
    with without_image_metrics():
        model = NerfactoModel(model_config, scene_box=box, num_train_data=config.n_images)

    model.renderer_expected_depth = SurfaceDepth()
    return model.eval()


def without_image_metrics() -> AbstractContextManager:
    """While it lasts, models of nerfstudio are made without LPIPS, which loads from the network."""
    return mock.patch(_LPIPS, nn.Identity)


class SurfaceDepth(nn.Module):
    """Depth of the surface on a ray: the mean over the middle fifth of the weight.

    In place of nerfstudio's expected depth, which haze and far background pull off the surface, and
    of its median, which has no gradient.
    """

    def forward(self, weights: Tensor, ray_samples: RaySamples) -> Tensor:
        """Ray parameter (..., 1) from the weights (..., S, 1) of S samples in order."""
        t = (ray_samples.frustums.starts + ray_samples.frustums.ends) / 2
        share = weights / weights.sum(dim=-2, keepdim=True).clamp_min(1e-10)
        upto = share.cumsum(dim=-2)
        middle = upto.clamp(*_MIDDLE) - (upto - share).clamp(*_MIDDLE)
        return (middle * t).sum(dim=-2) / (_MIDDLE[1] - _MIDDLE[0])


def _require_tcnn() -> None:
    from nerfstudio.utils.external import TCNN_EXISTS

    if not TCNN_EXISTS or not torch.cuda.is_available():
        raise CaldiffError(
            'the run was trained with tiny-cuda-nn, whose weights need it and a CUDA GPU, and this '
            'machine has not both; make the map on a machine that has, with --bake, or train with '
            '--pipeline.model.implementation torch'
        )
