# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The smallest unit of a table: one method on one map, query by query, kept on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.environment import commit, hardware, versions
from caldiff_ros.evaluation.files import read_json, write_json
from caldiff_ros.evaluation.protocol import QueryResult

_MATRICES = ('T_map_cam_true', 'T_map_cam')
#: Numbers that stand for "no answer" where they are infinite or not a number.
_WITHOUT_ANSWER = {
    'translation_map': float('inf'),
    'translation_norm': float('inf'),
    'rotation_deg': float('inf'),
    'nees': float('nan'),
    'photometric_error': float('nan'),
}


#: What files of earlier versions call it, and what it is called now.
_RENAMED = {'setting': 'map_spec', 'squared_error': 'nees'}


@dataclass(frozen=True, order=True)
class MapSpec:
    """One map: the training images of a variant of a split of a scene."""

    scene: str
    split: str
    variant: int

    @property
    def name(self) -> str:
        """For files, such as 'lego-50-25-v0'."""
        return f'{self.scene}-{self.split}-v{self.variant}'


@dataclass
class MethodResults:
    """Results of one method on one map.

    Attributes:
        path: the file.
        map_spec: the map.
        method: name of the method.
        identity: what has to be the same for results to belong together: seed, resolution, map.
        queries: answered so far, by the name of the frame.
        sessions: machine, versions, commit and date of every run that added to it.
        session_of: which of them answered a query, by the name of the frame.
        preparation_seconds: spent on making the method ready for the map, over all runs.
        metric: whether map units are metres.
        map_facts: what a table says of the map, see `PreparedMap.facts`.
    """

    path: Path
    map_spec: MapSpec
    method: str
    identity: dict[str, Any]
    queries: dict[str, QueryResult] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    session_of: dict[str, int] = field(default_factory=dict)
    preparation_seconds: float = 0.0
    metric: bool = False
    map_facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> MethodResults | None:
        """What is on disk, None where there is nothing.

        Raises:
            CaldiffError: if the file is damaged.
        """
        content = read_json(path)
        if content is None:
            return None

        try:
            content = _with_current_names(content)
            queries = [_query(_with_current_names(entry)) for entry in content['queries']]
            return cls(
                path=path,
                map_spec=MapSpec(**content['map_spec']),
                method=content['method'],
                identity=content['identity'],
                queries={query.name: query for query in queries},
                sessions=content['sessions'],
                session_of=content['session_of'],
                preparation_seconds=content['preparation_seconds'],
                metric=content['metric'],
                map_facts=content.get('map_facts', {}),  # older files have none
            )
        except (KeyError, TypeError) as error:
            raise CaldiffError(
                f'{path} holds no results of a method ({error!r}), expected those of an earlier '
                'run; delete it'
            ) from error

    def check(self, identity: dict[str, Any]) -> None:
        """Refuse to mix results that do not belong together.

        Raises:
            CaldiffError: if they were made otherwise.
        """
        for key, value in identity.items():
            if self.identity.get(key) != value:
                raise CaldiffError(
                    f'{self.path} was made with {key} {self.identity.get(key)}, expected {value}; '
                    'delete it or give another --output'
                )

    def begin_session(self, device: str) -> None:
        """Note with what the next queries are answered."""
        self.sessions.append(
            {
                'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
                'commit': commit(),
                'hardware': hardware(device),
                'versions': versions(),
            }
        )

    def add(self, query: QueryResult) -> None:
        """Keep a query, on disk as well."""
        self.queries[query.name] = query
        self.session_of[query.name] = len(self.sessions) - 1
        self.save()

    def save(self) -> None:
        """Write the file."""
        content = asdict(self)
        del content['path']
        write_json(self.path, {**content, 'queries': list(content['queries'].values())})


def _with_current_names(entry: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in entry.items()}


def _query(entry: dict[str, Any]) -> QueryResult:
    known = {f.name: entry[f.name] for f in fields(QueryResult)}
    for name in _MATRICES:
        known[name] = None if known[name] is None else np.array(known[name])

    for name, number in _WITHOUT_ANSWER.items():
        known[name] = number if known[name] is None else known[name]

    return QueryResult(**known)
