# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How good the loaded map is, for the operator: what its build measured and what follows."""

from __future__ import annotations

from typing import Any

from caldiff_ros.localization import LocalizationMap


def map_problem(localization_map: LocalizationMap) -> str:
    """Why nothing is LOCALIZED with a map and what to do about it; empty if it is calibrated."""
    problem = localization_map.calibration.problem
    if not problem:
        return ''

    return (
        f'the map {localization_map.name} is not calibrated, so nothing is LOCALIZED with it: '
        f'{problem}; build it anew from more or sharper images that overlap, and look at what '
        'caldiff check says about their poses'
    )


def map_summary(localization_map: LocalizationMap) -> str:
    """One sentence about a calibrated map."""
    measured = _measured(localization_map)
    of = f' of {measured["images"]}' if 'images' in measured else ''
    psnr = f', PSNR {measured["psnr_db"]} dB' if 'psnr_db' in measured else ''
    aligned = localization_map.calibration.n_right
    return f'calibrated: {aligned}{of} held-out images aligned with a field of the others{psnr}'


def map_values(localization_map: LocalizationMap) -> dict[str, str]:
    """What is known about a map, by what it is called in /diagnostics.

    The numbers of held-out images are missing from maps of before they were stored.
    """
    camera = localization_map.camera
    calibration = localization_map.calibration
    origin = _table(localization_map.provenance)
    measured = _measured(localization_map)

    known = {
        'calibrated': 'no' if calibration.problem else 'yes',
        'why not calibrated': calibration.problem or None,
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


def _measured(localization_map: LocalizationMap) -> dict[str, Any]:
    return _table(_table(localization_map.provenance).get('calibration'))


def _table(content: object) -> dict[str, Any]:
    """A table of map.yaml, which people edit: empty where it is none."""
    return content if isinstance(content, dict) else {}
