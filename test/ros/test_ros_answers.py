# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from caldiff_ros.msg import Localization
from std_msgs.msg import Header

from caldiff_ros.localization.answer import Answer, Hypothesis, Status
from caldiff_ros.ros.conversions.answers import localization_msg, log_line


def test_constants_of_the_message_are_those_of_the_library():
    for status in Status:
        assert getattr(Localization, status.name) == status.value


def test_answer_with_a_pose():
    T = np.eye(4)
    T[:3, 3] = 1, 2, 3
    covariance = np.arange(36.0).reshape(6, 6)
    answer = Answer(
        Status.LOCALIZED, 'found', T, covariance, 0.75, 0.5,
        [Hypothesis(T, 0.5, 0.9), Hypothesis(np.eye(4), 0.625, 0.2)],
        {'diffusion': 1.5, 'refinement': 2.0},
    )  # fmt: skip
    message = localization_msg(answer, Header(frame_id='map'))
    assert (message.status, message.message, message.confidence) == (1, 'found', 0.75)
    assert (message.pose.position.x, message.pose.position.z) == (1, 3)
    assert message.covariance[6 * 1 + 2] == 8  # row 1 (y), column 2 (z)
    assert [h.photometric_error for h in message.hypotheses] == [0.5, 0.625]
    assert list(message.stages) == ['diffusion', 'refinement']
    assert list(message.stage_seconds) == [1.5, 2.0]


def test_answer_without_a_pose_claims_no_certainty():
    message = localization_msg(Answer(Status.FAILED, 'no image'), Header())
    assert message.status == Localization.FAILED
    assert message.pose.orientation.w == 1
    np.testing.assert_array_equal(message.covariance, 1e6 * np.eye(6).ravel())
    assert np.isnan(message.photometric_error)


def test_log_line_can_be_searched():
    T = np.eye(4)
    T[:3, 3] = 1, 2, 3
    header = Header(frame_id='map')
    header.stamp.sec, header.stamp.nanosec = 12, 5
    line = log_line(Answer(Status.LOCALIZED, 'It is here.', T, np.eye(6), 0.75, 0.5), header)
    assert 'status=LOCALIZED stamp=12.000000005 frame=map' in line
    assert 'position=1.0000,2.0000,3.0000' in line and line.endswith('message="It is here."')
    assert 'position' not in log_line(Answer(Status.FAILED, 'no image'), header)
