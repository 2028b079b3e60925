# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""By what a map was calibrated, in words: what its confidences rest on."""

from __future__ import annotations

from typing import Any

from caldiff_ros.localization.map import LocalizationMap

#: In the provenance of maps that were not calibrated by images that a second field did not know.
KNOWN_PHOTOGRAPHS = 'photographs that may have been in the training of the splat'
RENDERS = 'renders of the splat'

_USUAL = 'held-out images'


def trust_basis(localization_map: LocalizationMap) -> str:
    """What was aligned with what, as a clause, such as '15 of 16 held-out images aligned with ...'.

    The number of images is missing from maps of before it was stored.
    """
    measured = measured_by(localization_map)
    of = f' of {measured["images"]}' if 'images' in measured else ''
    psnr = f', PSNR {measured["psnr_db"]} dB' if 'psnr_db' in measured else ''
    images = measured.get('of', _USUAL)
    field = 'it' if images == KNOWN_PHOTOGRAPHS else 'a field of the others'
    aligned = f'{localization_map.calibration.n_right}{of} {images} aligned with {field}{psnr}'
    if images != RENDERS:
        return aligned

    return f'{aligned}; trust rests on renders only, as no photograph was there to compare'


def measured_by(localization_map: LocalizationMap) -> dict[str, Any]:
    """The numbers of the calibration's images; empty if map.yaml, which people edit, has none."""
    origin: object = localization_map.provenance
    measured = origin.get('calibration') if isinstance(origin, dict) else None
    return measured if isinstance(measured, dict) else {}
