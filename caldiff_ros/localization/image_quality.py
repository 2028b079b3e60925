# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether an image shows enough to be localized, by the standard of a map's own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from caldiff_ros.errors import CaldiffError

#: Grey values (0..255) at which a camera has reached the end of its range.
_BLACK, _WHITE = 4, 251
#: An image is refused if it has less than this share of the contrast, or of the sharpness, of the
#: map's worst image,
_CONTRAST, _SHARPNESS = 0.15, 0.06
#: or if more than this share of what is neither black nor white in the map's worst image is so.
_LOST = 0.6
#: What rounding to whole grey values, twice, adds to the variance of the Laplacian.
_ROUNDING = 2 * 20 / 12


@dataclass(frozen=True)
class ImageQuality:
    """Of one image, or the worst of several.

    Attributes:
        contrast: standard deviation of the grey values, 0..255.
        sharpness: standard deviation of the Laplacian as a share of the contrast; blur lowers it.
        black, white: share of the pixels at the lower and the upper end of the camera's range.
    """

    contrast: float
    sharpness: float
    black: float
    white: float

    @classmethod
    def of(cls, image: np.ndarray, seen: np.ndarray) -> ImageQuality:
        """Measure an image, uint8 RGB (H, W, 3), where it was ``seen``, bool (H, W)."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        edges = cv2.Laplacian(gray.astype(np.float32), cv2.CV_32F)
        inner = cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if not inner.any():
            return cls(0.0, 0.0, 1.0, 1.0)

        contrast = float(gray[seen].std())
        edge_strength = max(float(edges[inner].var()) - _ROUNDING, 0.0) ** 0.5
        return cls(
            contrast=contrast,
            sharpness=edge_strength / max(contrast, 1e-3),
            black=float((gray[seen] <= _BLACK).mean()),
            white=float((gray[seen] >= _WHITE).mean()),
        )

    @classmethod
    def worst(cls, qualities: Sequence[ImageQuality]) -> ImageQuality:
        """The least of what should be high and the most of what should be low."""
        return cls(
            min(quality.contrast for quality in qualities),
            min(quality.sharpness for quality in qualities),
            max(quality.black for quality in qualities),
            max(quality.white for quality in qualities),
        )

    def check(self, image: np.ndarray, seen: np.ndarray) -> None:
        """Refuse an image that is much worse than this, the worst of the map's.

        Raises:
            CaldiffError: with the reason.
        """
        got = ImageQuality.of(image, seen)
        for share, usual, what, remedy in (
            (got.black, self.black, 'black', 'more light or a longer exposure'),
            (got.white, self.white, 'over-exposed', 'a shorter exposure'),
        ):
            limit = usual + _LOST * (1 - usual)
            if share > limit:
                raise CaldiffError(
                    f'{share:.0%} of the image is {what}, expected at most {limit:.0%} in this '
                    f'map; it needs {remedy}'
                )

        if got.contrast < _CONTRAST * self.contrast:
            raise CaldiffError(
                f'the image has next to no contrast ({got.contrast:.1f} of 255), expected at least '
                f'{_CONTRAST * self.contrast:.1f} in this map; check lens cap, light and exposure'
            )

        if got.sharpness < _SHARPNESS * self.sharpness:
            raise CaldiffError(
                f'the image is blurred (sharpness {got.sharpness:.3f}), expected at least '
                f'{_SHARPNESS * self.sharpness:.3f} in this map; hold the camera still or focus it'
            )
