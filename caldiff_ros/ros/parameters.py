# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the localizer node."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, fields
from itertools import pairwise

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True)
class LocalizerParameters:
    """What can be set at the start of the node; the text under a field describes its parameter."""

    map: str = ''
    """Folder made by `caldiff build-map`; empty for the map of diorama_room that ships."""
    preset: str = 'fast'
    """Named settings of the localizer: fast or paper."""
    device: str = 'auto'
    """Where to compute: auto, cpu or cuda."""
    seed: int = 0
    """Seed of the particles: the same seed and image give the same pose on the same machine."""
    torch_threads: int = 0
    """CPU threads of the computation; 0 for as many as there are cores."""
    localize_on_start: bool = True
    """Localize the first image that arrives."""
    image_timeout: float = 5.0
    """Seconds that `relocalize` waits for an image newer than the request; an image that came
    at most so long before the request is used if none does."""
    use_map_camera: bool = False
    """Without camera_info, take the images to come from the camera that the map was made with."""
    rectified: bool = False
    """The images are rectified already: they follow P of camera_info, without distortion."""
    map_frame: str = ''
    """Frame of the poses, parent of the transform; empty for the name that the map gives it."""
    camera_frame: str = ''
    """Optical frame of the camera, child of the transform; empty for the frame of the image."""
    publish_tf: bool = True
    """Publish the transform from the map to the camera after a localization."""
    publish_overlay: bool = True
    """Publish the picture of query, render and difference after a localization."""
    marker_size: float = 0.0
    """Length of a camera frustum in map units; 0 for one that fits the map."""


#: Lowest and highest accepted value of the numbers.
_RANGES = {
    'seed': IntegerRange(from_value=0, to_value=2**31 - 1),
    'torch_threads': IntegerRange(from_value=0, to_value=1024),
    'image_timeout': FloatingPointRange(from_value=0.0, to_value=3600.0),
    'marker_size': FloatingPointRange(from_value=0.0, to_value=1e6),
}


def field_docstrings(cls: type) -> dict[str, str]:
    """The string literal that follows each field of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    docs = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            docs[statement.target.id] = ' '.join(following.value.value.split())
    return docs


def declare_parameters(node: Node) -> LocalizerParameters:
    """Declare every field as a read-only parameter of the node and return their values."""
    docs = field_docstrings(LocalizerParameters)
    values = {}
    for field in fields(LocalizerParameters):
        descriptor = ParameterDescriptor(description=docs[field.name], read_only=True)
        limits = _RANGES.get(field.name)
        if isinstance(limits, IntegerRange):
            descriptor.integer_range = [limits]
        elif limits is not None:
            descriptor.floating_point_range = [limits]
        values[field.name] = node.declare_parameter(field.name, field.default, descriptor).value
    return LocalizerParameters(**values)
