# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables on the scenes at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.alterations import ALTERATIONS
from caldiff_ros.evaluation.altered_scenes import base_scene
from caldiff_ros.evaluation.captures import capture_protocol
from caldiff_ros.evaluation.captures_table import captures_sheet
from caldiff_ros.evaluation.experiment import Experiment, OutOfTime
from caldiff_ros.evaluation.files import write_json, write_text
from caldiff_ros.evaluation.method_results import MapSpec, MethodResults
from caldiff_ros.evaluation.methods import METHODS, named_method
from caldiff_ros.evaluation.paper import PaperTable, paper_tables
from caldiff_ros.evaluation.pictures import save_tables
from caldiff_ros.evaluation.printing import Sheet, markdown
from caldiff_ros.evaluation.tables import paper_sheet

#: Methods that the paper's tables have no row for unless asked.
_ON_REQUEST = ('accurate', 'hloc-sift')

#: Rows of each table, in order.
TABLE_METHODS: dict[str, tuple[str, ...]] = {
    'table1': tuple(name for name in METHODS if name not in _ON_REQUEST),
    'table2': tuple(name for name in METHODS if name not in _ON_REQUEST),
    'table3': ('diffusion-only', 'without-integrated-inerf'),
    'table4': ('diffusion-only',),
    'real': ('fast', 'hloc', 'hloc-sift', 'nearest-training-view', 'oracle-selection', 'floor'),
}

#: Methods of the figures.
FIGURE_METHODS = {'figure3': ('fast',), 'figure4': ('paper',), 'figure5': ('paper',)}

#: Tables that the paper does not have: what they are called, and their rows.
OWN_TABLES = {
    'hard-cases': (
        'Hard cases: the test images altered',
        tuple(
            f'{method}{case}'
            for case in ('', *(f'@{alteration}' for alteration in ALTERATIONS))
            for method in ('fast', 'hloc')
        ),
    ),
    'ablation': (
        'Preset fast without one of its parts, or with more of one',
        (
            'fast',
            'fast:rolls=1',
            'fast:rolls=1@roll-any',
            'fast@roll-any',
            'fast:feature_dropout=0.0',
            'fast:particles=25',
            'fast:particles=400',
            'fast:diffusion_steps=50',
            'fast:selection.screening_side=null',
            'fast:selection.min_distance=0.0',
            'fast:selection.count=1',
            'fast:ambiguity_ratio=1000.0',
            'fast:refinement.levels.4.robust_scale=1.0',
            'fast:refinement.levels.4.edge_weight=1.0',
            'fast:refinement.levels.4.min_step_px=0.01',
            'fast:matching=null',
            'fast:affine_exposure=false',
            'fast:affine_exposure=false@darker',
            'fast@darker',
            'fast:robust_scale=null',
            'fast:robust_scale=null@occluded',
            'fast@occluded',
            'fast:refinement=null',
            'retrieval',
        ),
    ),
}


@dataclass(frozen=True)
class Plan:
    """Which part of a table or figure is to be made.

    Attributes:
        what: its name.
        paper: the table of the paper; for a figure, the one whose scenes it shows.
        settings: maps, by scene, split and variant.
        methods: rows for every split.
    """

    what: str
    paper: PaperTable
    settings: list[MapSpec]
    methods: Sequence[str]

    @classmethod
    def make(
        cls,
        what: str,
        data: Path,
        scenes: Sequence[str] = (),
        splits: Sequence[str] = (),
        variants: int | None = None,
        methods: Sequence[str] = (),
    ) -> Plan:
        """A plan; what is not given is as in the paper, as far as the scenes are there.

        Raises:
            CaldiffError: if there is no such scene or method, or no scene at all.
        """
        paper = _protocol(what, data, scenes)
        scenes = scenes or [name for name in paper.results if (data / name).is_dir()]

        if not scenes:
            raise CaldiffError(
                f'{data} has none of the scenes {", ".join(paper.results)}, expected a folder '
                'with at least one of them; give --data or --scenes'
            )

        missing = [name for name in map(base_scene, scenes) if not (data / name).is_dir()]
        if missing:
            raise CaldiffError(
                f'{data / missing[0]} is not a folder, expected the dataset of a scene; check '
                '--data and --scenes'
            )

        variants = paper.variants if variants is None else variants
        if variants < 1:
            raise CaldiffError(f'{variants} variants were asked for, expected at least 1')

        settings = [
            MapSpec(scene, split, variant)
            for scene in scenes
            for split in splits or paper.splits(scene)
            for variant in range(variants)
        ]
        if not methods:
            own = OWN_TABLES.get(what, (None, ()))[1]
            methods = TABLE_METHODS.get(what) or FIGURE_METHODS.get(what) or own

        for method in methods:
            named_method(method)

        return cls(what, paper, settings, methods)

    def asked(self, queries: int | None) -> str:
        """Which part of the protocol that is, in a sentence."""
        scenes = list(dict.fromkeys(map_spec.scene for map_spec in self.settings))
        splits = list(dict.fromkeys(map_spec.split for map_spec in self.settings))
        variants = len({map_spec.variant for map_spec in self.settings})
        images = 'all test images' if queries is None else f'{queries} of the test images'
        width = self.paper.image_width
        size = 'at the size of each map' if width is None else f'at a width of {width}'

        return (
            f'{len(scenes)} of {len(self.paper.results)} scenes ({", ".join(scenes)}), splits '
            f'{", ".join(splits)}, {variants} of {self.paper.variants} variants, {images} '
            f'{size}.'
        )


def _protocol(what: str, data: Path, scenes: Sequence[str]) -> PaperTable:
    """The table; for what is none of the paper's, that of the same scenes, real ones first."""
    if what == 'real':
        return capture_protocol(data, scenes)

    tables = paper_tables()
    if what in tables:
        return tables[what]

    wanted = [base_scene(name) for name in scenes] or [
        name for name in tables['table2'].results if (data / name).is_dir()
    ]
    synthetic = not wanted or any(name in tables['table1'].results for name in wanted)
    protocol = tables['table1' if synthetic else 'table2']

    return replace(protocol, caption=OWN_TABLES[what][0]) if what in OWN_TABLES else protocol


def fill(plan: Plan, experiment: Experiment) -> tuple[list[MethodResults], bool]:
    """Compute the cells of a table, map by map.

    Returns:
        What there is, in the order of the rows, and whether it is everything.
    """
    complete = True
    found = {}

    try:
        for map_spec in plan.settings:
            for method in plan.methods:
                found[map_spec, method] = experiment.cell(map_spec, method)
    except OutOfTime:
        complete = False

    by_row = [
        (map_spec, method)
        for scene, split in dict.fromkeys((s.scene, s.split) for s in plan.settings)
        for method in plan.methods
        for map_spec in plan.settings
        if (map_spec.scene, map_spec.split) == (scene, split)
    ]
    return [found[key] for key in by_row if key in found], complete


def sheet(plan: Plan, cells: Sequence[MethodResults], queries: int | None) -> Sheet:
    """What is printed of the cells of a table; ``queries`` as asked for."""
    asked = plan.asked(queries)
    if plan.what == 'real':
        return captures_sheet(plan.paper.caption, cells, asked)

    return paper_sheet(plan.paper, cells, asked)


def write_sheet(folder: Path, name: str, made: Sheet) -> None:
    """Write NAME.json, NAME.md and NAME.png."""
    write_json(folder / f'{name}.json', made.content)
    write_text(folder / f'{name}.md', markdown(made))
    save_tables(folder / f'{name}.png', made.tables, made.note)
