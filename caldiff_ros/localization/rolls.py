# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The query as cameras turned about the optical axis would have seen it.

Nobody knows how a camera is held, but the diffusion model was trained on views about as upright as
the training images. So some particles are shown the image turned, and are turned back in the end.
"""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

from caldiff_ros.geometry import Pose
from caldiff_ros.geometry.camera import turned
from caldiff_ros.localization.query import Query


def turned_images(query: Query, n: int) -> tuple[Tensor, Pose]:
    """The image turned by multiples of 360 / n degrees, the first time by none.

    Returns:
        Images (n, H, W, 3) in 0..1 of the query's camera, continued by reflection where the query
        saw nothing, and T_cam_turned, (n,), the pose of each turned camera in the query's.
    """
    angles = 2 * torch.pi * torch.arange(n) / n
    zero = torch.zeros(n)
    cos = angles.cos()
    sin = angles.sin()
    rows = [cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1]
    R = torch.stack(rows, dim=-1).view(n, 3, 3)
    images = [query.rgb, *(_warped(query, one) for one in R[1:])]

    return torch.stack(images), Pose(R, torch.zeros(n, 3)).to(query.device)


def _warped(query: Query, R_cam_turned: Tensor) -> Tensor:
    R = R_cam_turned.double().numpy()
    image = turned(
        query.image, query.camera, query.camera, R_source_target=R, border=cv2.BORDER_REFLECT
    )
    return torch.from_numpy(image).to(query.device).float() / 255
