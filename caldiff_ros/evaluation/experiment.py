# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Maps, methods and queries of an experiment; stopped, it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caldiff_ros.baselines.setup import Setup
from caldiff_ros.devices import pick_device
from caldiff_ros.evaluation.method_results import MapSpec, MethodResults
from caldiff_ros.evaluation.methods import Factory, named_method
from caldiff_ros.evaluation.prepared_maps import (
    ExperimentConfig,
    PreparedMap,
    SceneSplit,
    prepare_map,
)
from caldiff_ros.evaluation.protocol import QueryResult, run_queries
from caldiff_ros.mapping.context import Report

#: Told about a query: its map_spec, method, number, how many there are, and the query.
OnQuery = Callable[[MapSpec, str, int, int, QueryResult], None]


class OutOfTime(Exception):  # noqa: N818 - a limit asked for, not an error
    """Raised when the time that an experiment may take is over."""


@dataclass
class Budget:
    """How long an experiment may go on.

    Args:
        hours: from now; None for no limit.
    """

    hours: float | None = None

    def __post_init__(self) -> None:
        self._ends = None if self.hours is None else time.monotonic() + 3600 * self.hours

    def check(self) -> None:
        """Raise `OutOfTime` once the time is over."""
        if self._ends is not None and time.monotonic() > self._ends:
            raise OutOfTime


class Experiment:
    """Fills cells.

    Args:
        config: what they have in common.
        budget: how long it may take; `OutOfTime` is raised between two queries or training steps,
            and everything up to there is kept.
        report: receives the progress of trainings.
        on_query: called after every query.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        budget: Budget,
        report: Report,
        on_query: OnQuery = lambda *_: None,
    ) -> None:
        self.config = config
        self._budget = budget
        self._on_query = on_query
        self._device = pick_device(config.device)
        self._prepared_maps: dict[MapSpec, PreparedMap] = {}
        self._splits: dict[MapSpec, SceneSplit] = {}

        def within_budget(*progress: Any) -> None:
            report(*progress)
            budget.check()

        self._report = within_budget

    def cell_path(self, map_spec: MapSpec, method: str) -> Path:
        """Where the results of a method on a map are."""
        return self.config.output / 'cells' / map_spec.name / f'{method}.json'

    def cell(self, map_spec: MapSpec, method: str) -> MethodResults:
        """Results of a method on a map, with all queries; what is missing is computed.

        Raises:
            CaldiffError: if the scene, the split or the method cannot be had.
            OutOfTime: if the budget does not suffice.
        """
        chosen = named_method(method)
        _, _, alteration = method.partition('@')
        path = self.cell_path(map_spec, method)
        cell = MethodResults.load(path)
        frames = self._split(map_spec).queries
        missing = [frame for frame in frames if cell is None or frame.name not in cell.queries]
        if cell is not None:
            cell.check(self._given())
        if cell is not None and not missing:
            return cell

        prepared_map = self.prepared_map(map_spec)
        identity = {**self._given(), 'map': prepared_map.digest}
        if cell is None:
            cell = MethodResults(path, map_spec, method, identity, metric=prepared_map.map.metric)

        cell.check(identity)
        cell.map_facts = prepared_map.facts
        cell.begin_session(str(self._device))
        localizer = self._prepared(chosen.make, prepared_map, cell)

        for frame in missing:
            self._budget.check()
            [query] = run_queries(
                localizer,
                [frame],
                prepared_map.map.unit,
                prepared_map.map.background,
                alteration=alteration or None,
            )

            cell.add(query)
            self._on_query(map_spec, method, len(cell.queries), len(frames), query)

        return cell

    def prepared_map(self, map_spec: MapSpec) -> PreparedMap:
        """A map and its images; the map is built if there is none.

        Raises:
            OutOfTime: if the budget does not suffice; the training goes on next time.
        """
        if map_spec not in self._prepared_maps:
            self._prepared_maps.clear()  # one map in memory is enough
            self._prepared_maps[map_spec] = prepare_map(
                map_spec, self._split(map_spec), self.config, self._device, self._report
            )

        return self._prepared_maps[map_spec]

    def _given(self) -> dict[str, Any]:
        return {'seed': self.config.seed, 'image_width': self.config.image_width}

    def _split(self, map_spec: MapSpec) -> SceneSplit:
        """The images of a map; read once, not for every cell."""
        if map_spec not in self._splits:
            self._splits[map_spec] = SceneSplit.open(map_spec, self.config)

        return self._splits[map_spec]

    def _prepared(self, make: Factory, prepared_map: PreparedMap, cell: MethodResults) -> Any:
        """A method ready for a map, the time counted."""
        work = self.config.output / 'work' / cell.map_spec.name / cell.method.partition('@')[0]
        work.mkdir(parents=True, exist_ok=True)
        seed = self.config.seed
        device = str(self._device)
        setup = Setup(
            prepared_map.map,
            prepared_map.data.views,
            work,
            seed=seed,
            device=device,
            report=self._report,
            photographs=prepared_map.split.train if self.config.image_width is None else (),
        )
        start = time.perf_counter()

        try:
            return make(setup)
        finally:
            cell.preparation_seconds += time.perf_counter() - start
            cell.save()
