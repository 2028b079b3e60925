# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The picture that lets a person judge an answer: query, render and difference side by side."""

from __future__ import annotations

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Sizes in pixels of the picture, large enough to be read on a screen.
_MIN_HEIGHT, _MIN_WIDTH, _LINE, _MARGIN = 240, 640, 24, 8
_DARK = 32
_LIGHT = (240, 240, 240)
_FONT_SCALE = 0.5


def draw_overlay(query: np.ndarray, render: np.ndarray, text: str) -> np.ndarray:
    """Query, render and absolute difference in a row, each under its name, below some text.

    Args:
        query: uint8 RGB (H, W, 3).
        render: uint8 RGB (H, W, 3).
        text: one line, ASCII; it is broken where the picture is narrower.

    Returns:
        uint8 RGB; small images are enlarged.
    """
    panels = {'query': query, 'render': render, 'difference': cv2.absdiff(query, render)}
    height, width = query.shape[:2]
    scale = max(1, -(-_MIN_HEIGHT // height), -(-_MIN_WIDTH // (3 * width)))
    row = np.concatenate(
        [
            cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
            for p in panels.values()
        ],
        axis=1,
    )

    lines = _broken(text, row.shape[1] - 2 * _MARGIN)
    bar = np.full((_LINE * (len(lines) + 1), row.shape[1], 3), _DARK, np.uint8)
    for i, line in enumerate(lines):
        _write(bar, line, _MARGIN, i)

    for i, name in enumerate(panels):
        _write(bar, name, i * scale * width + _MARGIN, len(lines))

    return np.concatenate([bar, row], axis=0)


def _broken(text: str, width: int) -> list[str]:
    """The text in lines of at most this many pixels, broken between words."""
    lines: list[str] = []
    for word in text.split(' '):
        longer = f'{lines[-1]} {word}' if lines else word
        if lines and cv2.getTextSize(longer, _FONT, _FONT_SCALE, 1)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)

    return lines


def _write(bar: np.ndarray, text: str, x: int, line: int) -> None:
    at = (x, _LINE * line + 17)
    cv2.putText(bar, text, at, _FONT, _FONT_SCALE, _LIGHT, 1, cv2.LINE_AA)
