# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good the loaded map is, for the operator: what its build measured and what follows."""

from __future__ import annotations

from typing import Any

from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.trust_basis import measured_by, trust_basis


def map_problem(localization_map: LocalizationMap) -> str:
    """Why nothing is LOCALIZED with a map and what to do about it; empty if it is calibrated."""
    problem = localization_map.calibration.problem
    if not problem:
        return ''

    return (
        f'the map {localization_map.name} is not calibrated, so nothing is LOCALIZED with it: '
        f'{problem}; rebuild it from more or sharper images that overlap, and run '
        'caldiff check on their poses'
    )


def map_summary(localization_map: LocalizationMap) -> str:
    """One sentence about a calibrated map."""
    return f'calibrated: {trust_basis(localization_map)}'


def map_values(localization_map: LocalizationMap) -> dict[str, str]:
    """What is known about a map, by what it is called in /diagnostics.

    The numbers of held-out images are missing from older maps.
    """
    camera = localization_map.camera
    calibration = localization_map.calibration
    origin = _table(localization_map.provenance)
    measured = measured_by(localization_map)

    known = {
        'calibrated': 'no' if calibration.problem else 'yes',
        'why not calibrated': calibration.problem or None,
        'calibrated by': measured.get('of'),
        'held-out images': measured.get('images'),
        'held-out images aligned': calibration.n_right,
        'held-out PSNR in dB': measured.get('psnr_db'),
        'training images': len(localization_map.training_cameras),
        'resolution': f'{camera.width}x{camera.height}',
        'unit': 'metres' if localization_map.metric else 'that of the training poses',
        'made by': origin.get('made_by'),
        'made on': origin.get('date'),
    }

    return {name: str(value) for name, value in known.items() if value is not None}


def _table(content: object) -> dict[str, Any]:
    """A table of map.yaml, which people edit: empty where it is none."""
    return content if isinstance(content, dict) else {}
