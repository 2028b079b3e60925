# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The map on disk: one folder with all that a robot needs. Loading it executes no code."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save
from torch import Tensor, nn

from caldiff_ros.diffusion.conditioning import ConditioningConfig, ConditioningNetwork
from caldiff_ros.diffusion.denoiser import DenoiserConfig
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import ScheduleConfig
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Camera, Normalization, Pose, checked_pose
from caldiff_ros.geometry.camera import resample
from caldiff_ros.localization.confidence import Calibration
from caldiff_ros.localization.landmarks import Landmarks
from caldiff_ros.localization.masks import read_mask, write_mask
from caldiff_ros.nerf.field import RadianceField
from caldiff_ros.nerf.kinds import FIELD_KINDS

FORMAT_VERSION = 4
#: Share of a field's values of bytes that are cut off at the range of these.
_OUT_OF_RANGE = 0.001
_MAP, _FIELD, _DIFFUSION = 'map.yaml', 'field.safetensors', 'diffusion.safetensors'
_CALIBRATION, _CAMERAS = 'calibration.json', 'cameras.json'
_LANDMARKS, _MASK = 'landmarks.safetensors', 'mask.png'
#: Longer side of a detailed view, at most, and how many times the map's it has to be.
MOST_DETAIL, LEAST_GAIN = 1600, 1.25
#: Share of a camera's view that the map's has, and the other way round, below which it is said.
_LEAST_SHARED_VIEW = 0.65


@dataclass
class LocalizationMap:
    """A place that cameras can be localized in.

    Attributes:
        name: name of the scene.
        camera: working resolution and intrinsics; every query is resampled to it.
        normalization: between the coordinates of the training poses and the field's.
        background: 'white', 'black' or 'none'.
        field: the radiance field.
        diffusion: the pose diffusion model.
        calibration: what right and wrong answers look like here.
        training_cameras: poses T_norm_cam (V,) of the images that the map was made from, float32.
        metric: whether the training poses are in metres.
        frame_id: name of the map frame.
        scale: map units (metres) per unit of the training poses.
        T_map_scene: (4, 4), turns the scaled coordinates of the training poses into the map's.
        landmarks: features of rendered views, which propose poses where the search finds none; None
            for small images, which have too few.
        mask: pixels of every query that show the place and not the robot, bool (H, W) at any
            resolution of the query's aspect; None for all. In the folder, mask.png is black at the
            others, and may be put there or changed by hand.
        provenance: how the map was made.
    """

    name: str
    camera: Camera
    normalization: Normalization
    background: str
    field: RadianceField
    diffusion: PoseDiffusion
    calibration: Calibration
    training_cameras: Pose
    metric: bool = False
    frame_id: str = 'map'
    scale: float = 1.0
    T_map_scene: np.ndarray = dataclass_field(default_factory=lambda: np.eye(4))
    landmarks: Landmarks | None = None
    mask: np.ndarray | None = None
    provenance: dict[str, Any] = dataclass_field(default_factory=dict)

    def to(self, device: torch.device | str) -> LocalizationMap:
        """Move the networks."""
        self.field_module.to(device)
        self.diffusion.to(device)
        return self

    @property
    def field_module(self) -> Any:
        """The field as the module that it is, with its size as ``config``."""
        return cast(nn.Module, self.field)

    def to_map(self, T_norm_cam: Pose) -> np.ndarray:
        """Poses (P,) of the field's coordinates as matrices (P, 4, 4) float64 in the map."""
        scene = self.normalization.to_map(T_norm_cam.to('cpu', torch.float64))
        T_map_scene = Pose.from_matrix(np.asarray(self.T_map_scene, dtype=np.float64))
        return (T_map_scene @ Pose(scene.R, self.scale * scene.t)).matrix().numpy()

    def to_norm(self, T_map_cam: np.ndarray) -> Pose:
        """The inverse of `to_map`; float32, on the device of the field."""
        T_map_scene = Pose.from_matrix(np.asarray(self.T_map_scene, dtype=np.float64))
        scene = T_map_scene.inverse() @ Pose.from_matrix(np.asarray(T_map_cam, dtype=np.float64))
        norm = self.normalization.to_norm(Pose(scene.R, scene.t / self.scale))
        return norm.to(self.field.aabb.device, torch.float32)

    @property
    def unit(self) -> float:
        """Length of one normalized unit in map units."""
        return self.normalization.side * self.scale

    def view(self, image: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """An image as the map's camera would have seen it, and which of its pixels were seen.

        Args:
            image: uint8 RGB (H, W, 3).
            camera: its intrinsics and distortion.

        Raises:
            CaldiffError: if it is no such image, or not one of this camera.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise CaldiffError(
                f'the image is {image.dtype} {image.shape}, expected uint8 RGB (H, W, 3); convert'
            )

        return resample(image, camera, self.camera)

    def view_note(self, camera: Camera) -> str:
        """What is doubtful about the field of view of a camera, in a sentence; empty if nothing."""
        used, filled = camera.view_shared_with(self.camera), self.camera.view_shared_with(camera)
        if min(used, filled) >= _LEAST_SHARED_VIEW:
            return ''

        (width, height), (map_width, map_height) = camera.fov_deg, self.camera.fov_deg
        follows = (
            f'{1 - used:.0%} of each image is not used'
            if used < filled
            else f'each image fills {filled:.0%} of the view that is expected'
        )
        return (
            f'the camera sees {width:.0f}x{height:.0f} deg and the map {self.name} was made for '
            f'{map_width:.0f}x{map_height:.0f}, {follows}; build the map for this camera if it is '
            'often not localized'
        )

    @property
    def exact_landmarks(self) -> Landmarks | None:
        """The landmarks, if they are those of photographs."""
        landmarks = self.landmarks
        return landmarks if landmarks is not None and landmarks.are_exact else None

    def detailed_view(self, image: np.ndarray, camera: Camera) -> np.ndarray | None:
        """The same as `view` with about as many pixels as the image has; None if it has no more."""
        factor = min(camera.fx / self.camera.fx, MOST_DETAIL / max(self.camera.size))
        if factor < LEAST_GAIN:
            return None

        width, height = (round(factor * side) for side in self.camera.size)
        return resample(image, camera, self.camera.resized(width, height))[0]

    def render(self, T_map_cam: np.ndarray) -> np.ndarray:
        """What the map's camera sees from a pose (4, 4): uint8 RGB (H, W, 3)."""
        out = self.field.render(self.to_norm(T_map_cam[None]), self.camera)
        return out.rgb_uint8[0].cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write the folder; an existing map is replaced only once the new one is whole.

        Raises:
            CaldiffError: if ``path`` holds something else than a map.
        """
        path = Path(path)
        check_output(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))

        try:
            _save_weights(self.field_module, partial / _FIELD)
            _save_weights(self.diffusion, partial / _DIFFUSION)
            (partial / _CALIBRATION).write_text(json.dumps(asdict(self.calibration), indent=2))
            cameras = self.training_cameras.matrix()[:, :3].tolist()
            (partial / _CAMERAS).write_text(json.dumps({'T_norm_cam': cameras}))
            if self.mask is not None:
                write_mask(partial / _MASK, self.mask)

            content = self._content()
            written = [_FIELD, _DIFFUSION, _CALIBRATION, _CAMERAS]
            if self.landmarks is not None:
                self.landmarks.save(partial / _LANDMARKS)
                written.append(_LANDMARKS)
            content['sha256'] = {name: _sha256(partial / name) for name in written}
            (partial / _MAP).write_text(yaml.safe_dump(content, sort_keys=False))
            partial.chmod(0o755)
            old = partial.with_name(f'{partial.name}.old')
            if path.exists():
                path.rename(old)

            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _content(self) -> dict[str, Any]:
        return {
            'format_version': FORMAT_VERSION,
            'name': self.name,
            'frame_id': self.frame_id,
            'metric': self.metric,
            'scale': float(self.scale),
            'T_map_scene': np.asarray(self.T_map_scene, dtype=float).tolist(),
            'normalization': {
                'center': list(self.normalization.center),
                'side': self.normalization.side,
            },
            'camera': {k: v for k, v in asdict(self.camera).items() if 'distortion' not in k},
            'background': self.background,
            'field': {
                'kind': self.field.kind,
                'aabb': self.field.aabb.tolist(),
                'config': asdict(self.field_module.config),
            },
            'diffusion': {
                'backbone': self.diffusion.conditioning.backbone_name,
                'config': asdict(self.diffusion.config),
            },
            'provenance': self.provenance,
        }

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = 'cpu') -> LocalizationMap:
        """Read a folder that `save` wrote.

        Raises:
            CaldiffError: if the map is missing, damaged or of a newer version.
        """
        path = Path(path)
        content = _read_content(path)

        try:
            field = _make_field(content)
            diffusion = _make_diffusion(content['diffusion'])
            _load_weights(cast(nn.Module, field), path / _FIELD)
            _load_weights(diffusion, path / _DIFFUSION)
            calibration = Calibration.from_dict(json.loads((path / _CALIBRATION).read_text()))
            cameras = json.loads((path / _CAMERAS).read_text())['T_norm_cam']
            loaded = cls(
                name=content['name'],
                camera=Camera(**content['camera']),
                normalization=Normalization(
                    tuple(content['normalization']['center']), content['normalization']['side']
                ),
                background=content['background'],
                field=field,
                diffusion=diffusion,
                calibration=calibration,
                training_cameras=Pose.from_matrix(torch.tensor(cameras)),
                metric=content['metric'],
                frame_id=content['frame_id'],
                scale=_checked_scale(content['scale'], path / _MAP),
                T_map_scene=checked_pose(content['T_map_scene'], f'T_map_scene in {path / _MAP}'),
                landmarks=Landmarks.load(path / _LANDMARKS)
                if _LANDMARKS in content['sha256']
                else None,
                mask=read_mask(path / _MASK) if (path / _MASK).exists() else None,
                provenance=content['provenance'],
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CaldiffError(
                f'{path / _MAP} does not describe the files beside it ({error}), expected a map '
                'made by caldiff build-map; build or copy it again'
            ) from error

        return loaded.to(device)


def check_output(path: Path) -> None:
    """Refuse to replace anything that is not a map.

    Raises:
        CaldiffError: if ``path`` is a file, or a folder with other things in it.
    """
    if path.is_dir() and ((path / _MAP).is_file() or not any(path.iterdir())):
        return

    if path.exists():
        raise CaldiffError(
            f'{path} exists and is not a map, expected a new name or an older map to replace; '
            'give another --output'
        )


def _read_content(path: Path) -> dict[str, Any]:
    """The checked content of map.yaml; the files beside it are as they were written."""
    if not (path / _MAP).is_file():
        raise CaldiffError(
            f'{path} holds no {_MAP}, expected the folder of a map; make one with caldiff build-map'
        )

    try:
        content = yaml.safe_load((path / _MAP).read_text())
        version = content['format_version']
        sums = content['sha256']
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CaldiffError(
            f'{path / _MAP} cannot be read, expected the YAML of a map; build or copy it again'
        ) from error

    if version != FORMAT_VERSION:
        raise CaldiffError(
            f'{path} has map format {version}, expected {FORMAT_VERSION}; update caldiff_ros or '
            'build the map again'
        )

    for name, expected in sums.items():
        file = path / Path(name).name
        if not file.is_file() or _sha256(file) != expected:
            raise CaldiffError(
                f'{file} is missing or damaged, expected the file that was written with the map; '
                'build or copy the map again'
            )

    return content


def _checked_scale(scale: object, path: Path) -> float:
    """The scale, which people write into map.yaml by hand."""
    if not isinstance(scale, (int, float)) or not 0 < scale < float('inf'):
        raise CaldiffError(
            f'the scale in {path} is {scale!r}, expected metres per unit of the training poses; '
            'write a positive number'
        )

    return float(scale)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _save_weights(module: nn.Module, path: Path) -> None:
    """Half precision or bytes where that is enough; one bit per flag."""
    packed = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        if value.dtype == torch.bool:
            packed[f'{name}.bits'] = torch.from_numpy(np.packbits(value.numpy()))
        elif name in getattr(module, 'byte_precision', ()):
            rest = value[:, 1:]
            step = _steps_of(rest)
            packed[f'{name}.first'] = value[:, :1].half()
            packed[f'{name}.rest'] = (rest / step).round().clamp(-127, 127).to(torch.int8)
            packed[f'{name}.step'] = step
        else:
            # copies, as safetensors takes no tensor twice
            packed[name] = value.half() if _is_weight(module, name) else value.clone()

    path.write_bytes(save(packed))  # an OSError if the disk is full, unlike save_file


def _steps_of(values: Tensor) -> Tensor:
    """Steps (K, C) in which values (N, K, C) are bytes; few of them may be out of their range."""
    largest = values.abs().flatten(1).sort(dim=0).values
    beyond = int(_OUT_OF_RANGE * len(values))
    rows = largest[len(values) - 1 - beyond] if len(values) else largest.new_ones(largest.shape[1])
    return rows.view(values.shape[1:]).clamp_min(1e-6) / 127


def _is_weight(module: nn.Module, name: str) -> bool:
    exact = getattr(module, 'full_precision', ())
    return name not in exact and name in dict(module.named_parameters(remove_duplicate=False))


def _load_weights(module: nn.Module, path: Path) -> None:
    stored = load_file(path)
    state: dict[str, Tensor] = {}

    for name, value in module.state_dict().items():
        if value.dtype == torch.bool:
            bits = np.unpackbits(stored[f'{name}.bits'].numpy(), count=value.numel())
            state[name] = torch.from_numpy(bits.astype(bool)).view(value.shape)
        elif f'{name}.rest' in stored:
            rest = stored[f'{name}.rest'].float() * stored[f'{name}.step']
            state[name] = torch.cat([stored[f'{name}.first'].float(), rest], dim=1)
        else:
            state[name] = stored[name].to(value.dtype)

    module.load_state_dict(state)
    module.requires_grad_(False).eval()


def _make_field(content: dict[str, Any]) -> RadianceField:
    name = content['field']['kind']
    if name not in FIELD_KINDS:
        raise CaldiffError(
            f'the field of the map is of the kind {name!r}, expected one of '
            f'{", ".join(FIELD_KINDS)}; it was made by another version of caldiff_ros, build the '
            'map anew with caldiff build-map'
        )

    kind = FIELD_KINDS[name]
    size = kind.size(**content['field']['config'])
    aabb = torch.tensor(content['field']['aabb'])
    return kind.field(size, aabb, content['background'])


def _make_diffusion(content: dict[str, Any]) -> PoseDiffusion:
    parts = content['config']
    config = DiffusionConfig(
        ConditioningConfig(**parts['conditioning']),
        DenoiserConfig(**parts['denoiser']),
        ScheduleConfig(**parts['schedule']),
        parts['prediction'],
    )
    return PoseDiffusion(config, ConditioningNetwork(content['backbone'], config.conditioning))
