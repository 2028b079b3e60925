# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Words of messages."""

import pytest

from caldiff_ros.wording import counted


def test_a_plural_may_be_given():
    assert counted(1, 'query', 'queries') == '1 query'
    assert counted(3, 'query', 'queries') == '3 queries'


@pytest.mark.parametrize(
    ('n', 'text'), [(0, '0 held-out images'), (1, '1 held-out image'), (2, '2 held-out images')]
)
def test_only_one_of_something_is_singular(n, text):
    assert counted(n, 'held-out image') == text
