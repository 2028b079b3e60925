# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The nearest of many rendered views, then refinement: image retrieval in a field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from caldiff_ros.baselines.proposals import ProposalLocalizer
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.baselines.training_views import network_images
from caldiff_ros.devices import pick_device
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.map import LocalizationMap
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.mapping.context import BuildContext, digest
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig, render_views
from caldiff_ros.mapping.views import Views

_IMAGES_AT_ONCE = 32


@dataclass(frozen=True)
class RetrievalConfig:
    """What is searched, and how much of it is proposed."""

    views: RenderedViewsConfig = field(default_factory=lambda: RenderedViewsConfig(count=1000))
    """Views rendered around the training cameras, which join the training views."""
    proposed: SelectionConfig = field(
        default_factory=lambda: SelectionConfig(count=20, min_distance=0.03, min_angle_deg=4.0)
    )
    """How many of the nearest views are proposed, and how different their poses are; copies are
    what preset 'fast' takes for copies."""


@dataclass(frozen=True)
class ViewIndex:
    """Views that can be searched by image.

    Attributes:
        T_norm_cam: their poses (V,).
        described: what the map's network says of them, (V, D).
    """

    T_norm_cam: Pose
    described: Tensor

    def similarity(self, described: Tensor) -> Tensor:
        """Cosines (V,) of the angles to an image's description (1, D), seen from their mean.

        All descriptions of one scene share most of what they say, which would make them all alike.
        """
        mean = self.described.mean(0)
        return F.cosine_similarity(self.described - mean, described - mean)

    def to(self, device: torch.device) -> ViewIndex:
        """Move the tensors."""
        return ViewIndex(self.T_norm_cam.to(device), self.described.to(device))

    def save(self, path: Path, identity: str) -> None:
        """Write one file; an older one is replaced only once the new one is whole."""
        tensors = {'R': self.T_norm_cam.R, 't': self.T_norm_cam.t, 'described': self.described}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix('.partial')

        try:
            partial.write_bytes(save(tensors, {'identity': identity}))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, identity: str) -> ViewIndex | None:
        """What `save` wrote under the same identity; None if there is no such file."""
        if not path.is_file():
            return None

        try:
            with safe_open(path, 'pt') as file:
                if (file.metadata() or {}).get('identity') != identity:
                    return None
                R, t, described = (file.get_tensor(name) for name in ('R', 't', 'described'))
        except SafetensorError:
            return None

        return cls(Pose(R, t), described)


@torch.no_grad()
def build_index(
    localization_map: LocalizationMap,
    views: Views,
    config: RetrievalConfig,
    context: BuildContext,
) -> ViewIndex:
    """Index the training views and views rendered around them, at the network's image size.

    Args:
        localization_map: the map, on the device where to compute.
        views: its training views.
        config: what is rendered.
        context: seed and device; keeps the index in its work folder, where that of another map,
            views or seed is made anew, and receives the progress of 'views' and 'features'.
    """
    real = network_images(localization_map, views)
    cameras = views.T_norm_cam
    path = None if context.work is None else context.work / 'retrieval.safetensors'
    identity = digest(
        context.seed,
        localization_map.field,
        localization_map.diffusion,
        localization_map.camera,
        real,
        cameras,
        config,
    )
    index = None if path is None else ViewIndex.load(path, identity)
    if index is not None:
        return index

    device = localization_map.field.aabb.device
    images = real
    poses = cameras

    if config.views.count > 0:
        camera = views.camera.downscaled(views.camera.width / real.shape[3])
        rendered, around = render_views(
            localization_map.field,
            cameras.to(device),
            camera,
            config=config.views,
            context=replace(context, work=None),  # the index is what is kept
        )
        images = torch.cat([real, rendered.permute(0, 3, 1, 2).float() / 255])
        poses = Pose.cat([cameras, around])

    described: list[Tensor] = []
    for part in images.split(_IMAGES_AT_ONCE):
        described.append(
            localization_map.diffusion.conditioning.extract_features(part.to(device)).cpu()
        )
        context.progress('features', sum(map(len, described)), len(images))

    index = ViewIndex(poses, torch.cat(described))
    if path is not None:
        index.save(path, identity)

    return index


@dataclass(frozen=True)
class Retrieval:
    """Proposes the poses of the views that look most like the query."""

    index: ViewIndex
    config: RetrievalConfig

    def __call__(self, query: Query, run: Run) -> Pose:
        """See `Proposer`."""
        index = self.index.to(query.device)
        similarity = index.similarity(run.map.diffusion.extract_features(query.rgb[None]))
        return index.T_norm_cam[select(index.T_norm_cam, -similarity, self.config.proposed)]


def make_retrieval(setup: Setup) -> ProposalLocalizer:
    """The nearest rendered views, then selection and refinement as in preset 'fast'."""
    config = RetrievalConfig()
    localization_map = setup.localization_map.to(pick_device(setup.device))
    index = build_index(localization_map, setup.views, config, setup.context)
    proposer = Retrieval(index, config)

    return ProposalLocalizer(
        setup.localization_map, proposer, 'fast', device=setup.device, seed=setup.seed
    )
