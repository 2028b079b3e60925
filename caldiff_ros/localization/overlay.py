# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The picture that lets a person judge an answer: query, render and difference side by side."""

from __future__ import annotations

import cv2
import numpy as np

_MIN_HEIGHT = 240
_BAR = 28


def draw_overlay(query: np.ndarray, render: np.ndarray, text: str) -> np.ndarray:
    """Query, render and absolute difference in a row, under a line of text.

    Args:
        query: uint8 RGB (H, W, 3).
        render: uint8 RGB (H, W, 3).
        text: one line, ASCII.

    Returns:
        uint8 RGB; small images are enlarged.
    """
    row = np.concatenate([query, render, cv2.absdiff(query, render)], axis=1)
    scale = max(1, -(-_MIN_HEIGHT // row.shape[0]))
    row = cv2.resize(row, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    bar = np.full((_BAR, row.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, text, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 240, 240), 1, cv2.LINE_AA)
    return np.concatenate([bar, row], axis=0)
