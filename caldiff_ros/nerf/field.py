# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package asks of a radiance field: images from poses.

Fields that are made of rays get there by `RayField`, the one place where rays are chunked.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from caldiff_ros.geometry import Camera, Pose

if TYPE_CHECKING:  # it shows what is defined here
    from caldiff_ros.nerf.bounded_view import BoundedView

#: Pixels whose renders are held at once, by whoever renders many poses.
_PIXELS_AT_ONCE = 1 << 16
#: Rays rendered at once: what belongs to them stays in a processor's cache; 0.2 s on two cores.
_RAYS_AT_ONCE = {'cpu': 1 << 14, 'cuda': 1 << 20}

#: Called before a part is rendered, with its number of pixels; what it raises ends the rendering.
BeforePart = Callable[[int], None]

#: Colour behind the scene; photographs ('none') have nothing behind them and render on black.
BACKGROUND_COLORS = {'white': 1.0, 'black': 0.0, 'none': 0.0}


@dataclass(frozen=True)
class Rendering:
    """What a field shows along N rays, or in images (B, height, width) or pixels (B, K).

    Attributes:
        rgb: colours in 0..1, (N, 3), composited on the field's background.
        depth: expected ray parameter t, (N,); with directions of z = 1 in the camera frame this is
            the z-depth in normalized units. 0 where the ray hits nothing.
        opacity: 0..1, (N,).
    """

    rgb: Tensor
    depth: Tensor
    opacity: Tensor

    @property
    def rgb_uint8(self) -> Tensor:
        """The colours as a camera stores them, uint8."""
        return (self.rgb.clamp(0, 1) * 255).round().to(torch.uint8)

    @classmethod
    def cat(cls, parts: Sequence[Rendering]) -> Rendering:
        """Concatenate along the first dimension."""
        return cls(
            torch.cat([part.rgb for part in parts]),
            torch.cat([part.depth for part in parts]),
            torch.cat([part.opacity for part in parts]),
        )

    def __getitem__(self, index: Any) -> Rendering:
        return Rendering(self.rgb[index], self.depth[index], self.opacity[index])

    def view(self, *shape: int) -> Rendering:
        """The same with pixels in another shape."""
        return Rendering(
            self.rgb.view(*shape, 3), self.depth.view(*shape), self.opacity.view(*shape)
        )


def render_on(n_pixels: int) -> None:
    """Render on, whatever there is to do."""


class RadianceField(Protocol):
    """A scene in normalized coordinates that shows images from poses.

    Attributes:
        kind: its row in `kinds.FIELD_KINDS`.
        background: 'white', 'black' or 'none'.
        aabb: box that holds the scene, (2, 3).
        renders_rays: whether a few pixels cost less than the whole image.
        differentiable: whether `render_pixels` has gradients with respect to the poses.
        renderer: what computes the images, for reports.
    """

    @property
    def kind(self) -> str:
        """See the class."""
        ...

    @property
    def renders_rays(self) -> bool:
        """See the class."""
        ...

    @property
    def differentiable(self) -> bool:
        """See the class."""
        ...

    @property
    def renderer(self) -> str:
        """See the class."""
        ...

    @property
    def background(self) -> str:
        """See the class."""
        ...

    @property
    def aabb(self) -> Tensor:
        """See the class."""
        ...

    def render(self, T_norm_cam: Pose, camera: Camera, before: BeforePart = render_on) -> Rendering:
        """Images of a camera from poses (B,), without gradients, in bounded memory.

        Args:
            T_norm_cam: poses of the camera.
            camera: a pinhole camera.
            before: called before each part.

        Returns:
            A rendering with shapes (B, height, width, 3), (B, height, width), (B, height, width).
        """
        ...

    def render_pixels(
        self, T_norm_cam: Pose, camera: Camera, pixels: Tensor, before: BeforePart = render_on
    ) -> Rendering:
        """Single pixels, given by their indices (K,) row by row, from poses (B,).

        Returns:
            A rendering with shapes (B, K, 3), (B, K), (B, K).
        """
        ...

    def bounded_view(self, camera: Camera, n_poses: int) -> BoundedView | None:
        """Images of a camera from so many poses without waiting for a GPU; None if it has to."""
        ...


class RayField(ABC):
    """A `RadianceField` that renders along rays; differentiable with respect to them."""

    renders_rays: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    renderer: ClassVar[str] = 'PyTorch'

    @abstractmethod
    def render_rays(self, origins: Tensor, directions: Tensor) -> Rendering:
        """Render rays ``origins + t * directions``, both (N, 3) in normalized coordinates.

        Directions need no unit norm; depth is measured in t. All of them are rendered at once.
        """

    def rays_at_once(self, device: torch.device) -> int:
        """Most rays in a call of `render_rays`."""
        return _RAYS_AT_ONCE.get(device.type, _RAYS_AT_ONCE['cuda'])

    @torch.no_grad()
    def render(self, T_norm_cam: Pose, camera: Camera, before: BeforePart = render_on) -> Rendering:
        """See `RadianceField.render`."""
        directions = pixel_directions(camera, T_norm_cam.t.device)
        parts = [
            self._render_directions(poses, directions, before)
            for poses in pose_batches(T_norm_cam, len(directions))
        ]
        return Rendering.cat(parts).view(len(T_norm_cam), camera.height, camera.width)

    def render_pixels(
        self, T_norm_cam: Pose, camera: Camera, pixels: Tensor, before: BeforePart = render_on
    ) -> Rendering:
        """See `RadianceField.render_pixels`."""
        directions = pixel_directions(camera, T_norm_cam.t.device)[pixels]
        return self._render_directions(T_norm_cam, directions, before)

    def bounded_view(self, camera: Camera, n_poses: int) -> BoundedView | None:
        """See `RadianceField.bounded_view`."""
        return None

    def _render_directions(
        self, T_norm_cam: Pose, directions_cam: Tensor, before: BeforePart
    ) -> Rendering:
        """Directions (K, 3) of the camera frame from poses (B,), in chunks of rays."""
        directions = directions_cam @ T_norm_cam.R.transpose(-1, -2)
        origins = T_norm_cam.t[:, None].expand_as(directions)
        shape = directions.shape[:-1]
        at_once = self.rays_at_once(directions.device)
        parts = []

        for part in zip(
            origins.reshape(-1, 3).split(at_once),
            directions.reshape(-1, 3).split(at_once),
            strict=True,
        ):
            before(len(part[0]))
            parts.append(self.render_rays(*part))

        return Rendering.cat(parts).view(*shape)


def pose_batches(T_norm_cam: Pose, n_pixels: int) -> Iterator[Pose]:
    """Poses (B,) in parts whose renders of ``n_pixels`` each fit into memory together."""
    at_once = max(1, _PIXELS_AT_ONCE // max(1, n_pixels))
    # of none, one part with none
    for start in range(0, max(1, len(T_norm_cam)), at_once):
        yield T_norm_cam[start : start + at_once]


@functools.lru_cache(maxsize=32)
def pixel_directions(camera: Camera, device: torch.device | str = 'cpu') -> Tensor:
    """Directions (height * width, 3) float32 of all pixels in the camera frame, z = 1.

    The tensor is shared: it must not be written to.
    """
    return torch.from_numpy(camera.pixel_directions()).to(device, torch.float32)
