# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The answer of a localization as caldiff_ros/msg/Localization."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header

from caldiff_ros.localization.answer import Answer
from caldiff_ros.msg import Hypothesis, Localization
from caldiff_ros.ros.conversions.poses import pose_to_msg

#: Variance (map units squared, radians squared) that says that nothing is known.
UNKNOWN_VARIANCE = 1e6


def localization_msg(answer: Answer, header: Header) -> Localization:
    """The message; without a pose it carries the identity with a covariance of `UNKNOWN_VARIANCE`.

    Args:
        answer: what `Localizer.localize` returned.
        header: stamp of the image, frame of the map.
    """
    covariance = answer.covariance
    if covariance is None:
        covariance = UNKNOWN_VARIANCE * np.eye(6)

    return Localization(
        header=header,
        status=int(answer.status),
        message=answer.message,
        confidence=float(answer.confidence),
        pose=pose_to_msg(np.eye(4) if answer.T_map_cam is None else answer.T_map_cam),
        covariance=np.asarray(covariance, dtype=np.float64).ravel(),
        photometric_error=float(answer.photometric_error),
        hypotheses=[
            Hypothesis(
                pose=pose_to_msg(hypothesis.T_map_cam),
                photometric_error=float(hypothesis.photometric_error),
                confidence=float(hypothesis.confidence),
            )
            for hypothesis in answer.hypotheses
        ],
        stages=list(answer.timings),
        stage_seconds=[float(seconds) for seconds in answer.timings.values()],
    )


def log_line(answer: Answer, header: Header) -> str:
    """The answer as one line of ``name=value`` for logs that are searched."""
    values = {
        'status': answer.status.name,
        'stamp': f'{header.stamp.sec}.{header.stamp.nanosec:09d}',
        'frame': header.frame_id,
        'seconds': f'{answer.seconds:.2f}',
        'confidence': f'{answer.confidence:.3f}',
        'error': f'{answer.photometric_error:.5f}',
        'hypotheses': len(answer.hypotheses),
    }
    if answer.T_map_cam is not None:
        values['position'] = ','.join(f'{value:.4f}' for value in answer.T_map_cam[:3, 3])

    facts = ' '.join(f'{name}={value}' for name, value in values.items())
    return f'localization {facts} message="{answer.message}"'
