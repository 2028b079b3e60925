# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the localizer node."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from itertools import pairwise
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

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
    """Folder made by `caldiff build-map`; empty for the map of diorama_room that ships. A new map
    is read before the old one is given up; a running localization is cancelled. Set it again to
    read a folder that was changed."""
    mask: str = _parameter('')
    """Image that is black where the camera sees the robot itself, of the camera's aspect; empty for
    the mask.png of the map, if it has one. Bars of one colour along the border need no mask."""
    preset: str = _parameter('fast', choices=PRESETS)
    """Named settings of the localizer."""
    device: str = _parameter('auto', read_only=True)
    """Where to compute: auto, cpu or cuda."""
    seed: int = _parameter(0, within=(0, 2**31 - 1))
    """Seed of the particles: the same seed and image give the same pose on the same machine."""
    particles: int = _parameter(0, within=(0, 100_000))
    """Particles to start from; 0 for as many as the preset has."""
    min_confidence: float = _parameter(LocalizerConfig.min_confidence, within=(0.0, 1.0))
    """Confidence from which a pose is trusted; below it the answer is NOT_LOCALIZED."""
    ambiguity_ratio: float = _parameter(LocalizerConfig.ambiguity_ratio, within=(1.0, 1000.0))
    """The answer is AMBIGUOUS if a pose at another place is trusted as well and its photometric
    error is at most this many times that of the best."""
    prior_share: float = _parameter(LocalizerConfig.prior_share, within=(0.0, 1.0))
    """Share of the particles that start from a prior where there is one; the others may be
    anywhere, so that a wrong prior can be overcome."""
    torch_threads: int = _parameter(0, within=(0, 1024), read_only=True)
    """CPU threads of the computation; 0 for as many as there are cores."""
    autostart: bool = _parameter(True, read_only=True)
    """Configure and activate by itself; false leaves that to a lifecycle manager."""
    localize_on_start: bool = _parameter(True)
    """Localize the first image that arrives after activation, after a change of the map, and after
    the clock jumped back, as where a bag begins again."""
    localize_on_initialpose: bool = _parameter(True)
    """Localize at once when a prior arrives on `initialpose`; false keeps it for the next
    localization."""
    continuous: bool = _parameter(False)
    """Localize the newest image again and again, at `continuous_rate`."""
    continuous_rate: float = _parameter(1.0, within=(0.001, 100.0))
    """Highest number of localizations per second in continuous mode; a slow one delays the next."""
    image_transport: str = _parameter('raw', choices=('raw', 'compressed'), read_only=True)
    """Whether images come as sensor_msgs/Image on `image` or as sensor_msgs/CompressedImage on
    `image/compressed`."""
    image_timeout: float = _parameter(5.0, within=(0.0, 3600.0))
    """Seconds that a request waits for an image newer than itself; an image that came at most
    this long before is used if none does. Without images for this long the node warns."""
    use_map_camera: bool = _parameter(False)
    """Without camera_info, take the images to come from the camera that the map was made with."""
    rectified: bool = _parameter(False)
    """The images are rectified already: they follow P of camera_info, without distortion."""
    map_frame: str = _parameter('')
    """Frame of the poses, parent of the transform; empty for the name that the map gives it."""
    camera_frame: str = _parameter('')
    """Optical frame of the camera; empty for the frame of the image."""
    base_frame: str = _parameter('')
    """Frame of the robot, such as base_link: that of priors, and the child of map_to_base. Empty:
    priors are poses of the optical camera. Where it is set, set tf_mode to map_to_odom or
    map_to_base."""
    odom_frame: str = _parameter('odom')
    """Frame of the odometry, the child of map_to_odom."""
    tf_mode: str = _parameter('map_to_camera', choices=TF_MODES)
    """Transform that a localization publishes. map_to_odom is that of REP-105 and needs odom to
    camera in TF, map_to_base needs base to camera. map_to_camera needs nothing, but the camera must
    have no other parent in TF: on a robot choose one of the others."""
    tf_timeout: float = _parameter(0.5, within=(0.0, 60.0))
    """Seconds to wait for the transforms that tf_mode needs, at the stamp of the image, before it
    is localized."""
    tf_rate: float = _parameter(10.0, within=(0.0, 1000.0))
    """Times per second that map_to_odom is sent again; 0 for once per localization. The other
    transforms hold for the moment of their image only and are never sent again."""
    transform_tolerance: float = _parameter(0.1, within=(0.0, 60.0))
    """Seconds that map_to_odom is dated ahead, so that it is valid until the next one."""
    publish_overlay: bool = _parameter(True)
    """Publish the picture of query, render and difference after a localization."""
    marker_size: float = _parameter(0.0, within=(0.0, 1e6))
    """Length of a camera frustum in map units; 0 for one that fits the map."""
    marker_lifetime: float = _parameter(0.0, within=(0.0, 1e6))
    """Seconds after which RViz removes the particles; 0 for never."""
    map_points: int = _parameter(20_000, within=(0, 1_000_000))
    """Points of the coarse cloud that shows the map; 0 for no cloud."""
    saved_pose_path: str = _parameter('')
    """File that keeps the last trusted pose, the prior of the first localization after a restart;
    empty for none."""

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


def field_docstrings(cls: type) -> dict[str, str]:
    """The string literal that follows each field of a dataclass."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(definition, ast.ClassDef)  # the source of a class
    docs = {}

    for statement, following in pairwise(definition.body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = ' '.join(text.split())

    return docs


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
