# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""nerfacto, the field of nerfstudio, as a `RadianceField`; needs the package nerfstudio."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Normalization
from caldiff_ros.nerf.field import Rendering, render_in_parts
from caldiff_ros.nerf.nerfstudio_run import NerfstudioRun

if TYPE_CHECKING:
    from nerfstudio.cameras.rays import RaySamples

#: Rays whose samples are in memory at once.
_CHUNK = 1 << 13
#: Metrics of images, not part of the model; their constructor downloads weights.
_LPIPS = 'torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity'
#: Shares of a ray's weight between which the surface is.
_MIDDLE = (0.4, 0.6)
#: Parameters without meaning outside nerfstudio's trainer.
_TRAINING_ONLY = ('camera_optimizer.', 'device_indicator_param', 'lpips.', 'psnr.')


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


class NerfactoField(nn.Module):
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

    def __init__(self, config: NerfactoConfig, aabb: Tensor, background: str = 'none') -> None:
        super().__init__()
        self.config, self.background = config, background
        self.register_buffer('aabb', aabb.float().clone())
        similarity = torch.tensor(config.nerf_from_norm, dtype=torch.float32)
        self.register_buffer('nerf_from_norm', similarity, persistent=False)
        self.model = _make_model(config)

    @classmethod
    def from_run(
        cls, run: NerfstudioRun, normalization: Normalization | None, background: str = 'none'
    ) -> NerfactoField:
        """The trained field of an ns-train run.

        Args:
            run: the run.
            normalization: of the map that the field becomes part of; None if the run was trained in
                normalized coordinates.
            background: what was behind images with alpha.

        Raises:
            CaldiffError: if the weights do not fit the model, as those of tiny-cuda-nn do not fit
                torch's.
        """
        map_from_norm = np.eye(4)
        if normalization is not None:
            map_from_norm[:3, :3] *= normalization.side
            map_from_norm[:3, 3] = normalization.center
        nerf_from_norm = (run.nerf_from_map @ map_from_norm)[:3]
        weights = {
            name: value
            for name, value in run.weights.items()
            if not name.startswith(_TRAINING_ONLY)
        }
        tcnn = any('tcnn_encoding' in name for name in weights)
        try:
            box = weights['field.aabb']
            embedding = weights.get('field.embedding_appearance.embedding.weight')
        except KeyError as error:
            raise CaldiffError(
                f'the checkpoint of {run.config_path} has no {error}, expected a nerfacto model; '
                'train again with ns-train nerfacto'
            ) from error
        config = NerfactoConfig(
            {**run.settings, 'implementation': 'tcnn' if tcnn else 'torch'},
            tuple(map(tuple, nerf_from_norm.tolist())),
            1 if embedding is None else len(embedding),
            float(box[1, 0] - box[0, 0]),
        )
        field = cls(config, torch.tensor([[-0.5] * 3, [0.5] * 3]), background)
        _load(field.model, weights, run)
        return field.requires_grad_(False).eval()

    def render(self, origins: Tensor, directions: Tensor, sampling: float = 1.0) -> Rendering:
        """See `RadianceField.render`; depth is that of `SurfaceDepth`, the sampling is learned."""
        return render_in_parts(self._render, origins, directions, _CHUNK)

    def _render(self, origins: Tensor, directions: Tensor) -> Rendering:
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


def _load(model: nn.Module, weights: dict[str, Tensor], run: NerfstudioRun) -> None:
    own = {name for name in model.state_dict() if not name.startswith(_TRAINING_ONLY)}
    try:
        missing = own - weights.keys()
        if missing:
            raise KeyError(sorted(missing)[0])
        model.load_state_dict({name: weights[name] for name in own}, strict=False)
    except (KeyError, RuntimeError) as error:
        raise CaldiffError(
            f'the checkpoint of {run.config_path} does not fit its configuration ({error}), '
            'expected the weights of the same nerfacto model; copy the folder of the run again'
        ) from error
