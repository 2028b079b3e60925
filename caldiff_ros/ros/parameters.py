# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the localizer node."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from caldiff_ros.docstrings import field_docstrings
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.presets import PRESETS, LocalizerConfig

#: Names that ROS itself declares in every node.
_OF_ROS = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')
TF_MODES = ('map_to_camera', 'map_to_base', 'map_to_odom', 'none')


def _parameter(
    default: Any,
    *,
    within: tuple[float, float] | None = None,
    choices: Iterable[str] = (),
    read_only: bool = False,
) -> Any:
    """A field with its lowest and highest value, or the accepted ones, and who may change it."""
    metadata = {'within': within, 'choices': tuple(choices), 'read_only': read_only}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class LocalizerParameters:
    """What can be set; the text under a field describes its parameter.

    Raises:
        CaldiffError: if values are not among the choices, or contradict each other.
    """

    map: str = _parameter('')
    """Folder written by `caldiff build-map`; empty for the shipped map of diorama_room. A new map
    is loaded before the old one is released, and a running localization is cancelled. Set the same
    folder again to reload a map that has changed."""
    mask: str = _parameter('')
    """Image that is black where the camera sees the robot itself, of the same aspect ratio as the
    images; empty for mask.png in the map folder, if there is one. Bars of uniform colour along
    the border need no mask."""
    preset: str = _parameter('fast', choices=PRESETS)
    """Preset of the localizer."""
    device: str = _parameter('auto', read_only=True)
    """Device for the computation: auto, cpu or cuda."""
    seed: int = _parameter(0, within=(0, 2**31 - 1))
    """Seed of the particles: the same seed and image give the same pose on the same machine."""
    particles: int = _parameter(0, within=(0, 100_000))
    """Initial number of particles; 0 for that of the preset."""
    min_confidence: float = _parameter(LocalizerConfig.min_confidence, within=(0.0, 1.0))
    """Lowest confidence at which a pose is trusted; below it the answer is NOT_LOCALIZED."""
    ambiguity_ratio: float = _parameter(LocalizerConfig.ambiguity_ratio, within=(1.0, 1000.0))
    """The answer is AMBIGUOUS if a pose at another place is trusted as well and its photometric
    error is at most this many times the lowest."""
    prior_share: float = _parameter(LocalizerConfig.prior_share, within=(0.0, 1.0))
    """Share of the particles that are drawn from the prior, if there is one; the others start
    anywhere, so that the node can recover from a wrong prior."""
    torch_threads: int = _parameter(0, within=(0, 1024), read_only=True)
    """Number of CPU threads; 0 for one per core."""
    autostart: bool = _parameter(True, read_only=True)
    """Configure and activate at startup; false leaves that to a lifecycle manager."""
    localize_on_start: bool = _parameter(True)
    """Localize the first image after activation, after a change of the map, and after the clock
    jumped back, as when a bag starts over."""
    localize_on_initialpose: bool = _parameter(True)
    """Localize as soon as a prior arrives on `initialpose`; false keeps it for the next
    localization."""
    continuous: bool = _parameter(False)
    """Localize the newest image continuously, at `continuous_rate`."""
    continuous_rate: float = _parameter(1.0, within=(0.001, 100.0))
    """Maximum rate of continuous mode in Hz; a longer localization delays the next."""
    image_transport: str = _parameter('raw', choices=('raw', 'compressed'), read_only=True)
    """Type of the images: raw for sensor_msgs/Image on `image`, compressed for
    sensor_msgs/CompressedImage on `image/compressed`."""
    image_timeout: float = _parameter(5.0, within=(0.0, 3600.0))
    """Seconds that a request waits for an image newer than itself; if none arrives, an image that
    preceded it by at most this long is used. The node warns if no images arrive for this long."""
    use_map_camera: bool = _parameter(False)
    """Use the intrinsics of the map's camera when there is no camera_info."""
    rectified: bool = _parameter(False)
    """The images are already rectified: use P of camera_info, without distortion."""
    map_frame: str = _parameter('')
    """Frame of the poses and parent of the transform; empty for the frame_id of the map."""
    camera_frame: str = _parameter('')
    """Optical frame of the camera; empty for the frame_id of the image."""
    base_frame: str = _parameter('')
    """Frame of the robot, such as base_link: priors are poses of this frame, and it is the child of
    map_to_base. Empty: priors are poses of the optical camera. If set, also set tf_mode to
    map_to_odom or map_to_base."""
    odom_frame: str = _parameter('odom')
    """Odometry frame, the child of map_to_odom."""
    tf_mode: str = _parameter('map_to_camera', choices=TF_MODES)
    """Transform to publish. map_to_odom follows REP-105 and requires odom to camera in TF;
    map_to_base requires base to camera. map_to_camera requires nothing, but the camera must not
    have another parent in TF: use one of the others on a robot."""
    tf_timeout: float = _parameter(0.5, within=(0.0, 60.0))
    """Seconds to wait, before an image is localized, for the transforms that tf_mode requires at
    the stamp of the image."""
    tf_rate: float = _parameter(10.0, within=(0.0, 1000.0))
    """Rate in Hz at which map_to_odom is republished; 0 to publish it once per localization. The
    other transforms are valid at the time of their image only and are not republished."""
    transform_tolerance: float = _parameter(0.1, within=(0.0, 60.0))
    """Seconds by which map_to_odom is stamped ahead, so that it stays valid until the next."""
    publish_overlay: bool = _parameter(True)
    """Publish query, render and difference as an image after each localization."""
    marker_size: float = _parameter(0.0, within=(0.0, 1e6))
    """Length of a camera frustum in map units; 0 to fit the map."""
    marker_lifetime: float = _parameter(0.0, within=(0.0, 1e6))
    """Seconds after which RViz removes the particles; 0 for never."""
    map_points: int = _parameter(20_000, within=(0, 1_000_000))
    """Number of points in the point cloud of the map; 0 for no point cloud."""
    saved_pose_path: str = _parameter('')
    """File in which the last trusted pose is saved, as the prior of the first localization after a
    restart; empty to save none."""

    def __post_init__(self) -> None:
        for parameter in fields(self):
            choices = parameter.metadata['choices']
            value = getattr(self, parameter.name)
            if choices and value not in choices:
                raise CaldiffError(
                    f'{parameter.name} is {value!r}, expected one of {", ".join(choices)}; set one'
                )

        if self.tf_mode == 'map_to_base' and not self.base_frame:
            raise CaldiffError(
                'tf_mode is map_to_base but base_frame is empty, expected the name of a frame such '
                'as base_link; set base_frame first'
            )


def declare_parameters(node: Node) -> LocalizerParameters:
    """Declare every field as a parameter of the node and return their values.

    Raises:
        CaldiffError: see `LocalizerParameters`.
        rclpy.exceptions.ParameterException: if a value has another type or is out of range.
    """
    docs = field_docstrings(LocalizerParameters)
    values = {
        parameter.name: node.declare_parameter(
            parameter.name, parameter.default, _descriptor(parameter, docs[parameter.name])
        ).value
        for parameter in fields(LocalizerParameters)
    }

    return LocalizerParameters(**values)


def unknown_parameters(node: Node) -> list[str]:
    """A sentence for every value given to the node at start that no parameter takes."""
    known = [parameter.name for parameter in fields(LocalizerParameters)]
    # rclpy has no public way to ask for what was given but not declared
    given = getattr(node, '_parameter_overrides', {})
    sentences = []
    for name in sorted(set(given) - set(known)):
        if name.startswith(_OF_ROS):
            continue

        near = difflib.get_close_matches(name, known, n=1)
        meant = f', perhaps {near[0]} was meant' if near else ''
        sentences.append(
            f'parameter {name!r} is not known and has no effect{meant}; docs/parameters.md lists '
            'those that are'
        )

    return sentences


def _descriptor(parameter: Field, description: str) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=description, read_only=parameter.metadata['read_only']
    )
    if parameter.metadata['choices']:
        descriptor.additional_constraints = f'one of {", ".join(parameter.metadata["choices"])}'

    if parameter.metadata['within'] is not None:
        low, high = parameter.metadata['within']
        if isinstance(parameter.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]

    return descriptor
