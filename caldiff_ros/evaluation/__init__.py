# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Judging a localizer: the same queries, errors and summary for every method."""

from caldiff_ros.evaluation.metrics import THRESHOLDS, pose_errors
from caldiff_ros.evaluation.protocol import QueryResult, choose_queries, run_queries
from caldiff_ros.evaluation.report import summarize, summary_table, write_report

__all__ = [
    'THRESHOLDS',
    'QueryResult',
    'choose_queries',
    'pose_errors',
    'run_queries',
    'summarize',
    'summary_table',
    'write_report',
]
