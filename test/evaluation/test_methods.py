# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import pytest

from caldiff_ros.baselines.setup import Setup
from caldiff_ros.errors import CaldiffError
from caldiff_ros.evaluation.methods import METHODS, named_method
from caldiff_ros.evaluation.paper import paper_tables
from caldiff_ros.evaluation.reproduction import Plan
from caldiff_ros.localization import PRESETS
from maps import make_map


def config(name):
    return named_method(name).make(Setup(make_map(), None, device='cpu')).config


def test_the_ablations_differ_from_the_paper_by_one_thing():
    paper = PRESETS['paper']
    assert config('paper') == paper
    assert config('diffusion-only') == replace(paper, refinement=None)
    assert config('without-integrated-inerf') == replace(paper, integrated_inerf=None)


def test_numbers_of_a_preset_can_be_changed():
    fast = PRESETS['fast']
    assert config('fast:particles=25') == replace(fast, particles=25)
    changed = config('fast:matching=null,selection.count=1,affine_exposure=false')
    selection = replace(fast.selection, count=1)
    assert changed == replace(fast, matching=None, selection=selection, affine_exposure=False)
    *coarser, last = fast.refinement.levels
    levels = (*coarser, replace(last, robust_scale=1.0))
    refinement = replace(fast.refinement, levels=levels)
    changed = config('fast:refinement.levels.4.robust_scale=1.0')
    assert changed == replace(fast, refinement=refinement)
    assert config('fast:refinement.levels.-1.robust_scale=1.0') == changed
    assert named_method('fast:rolls=1@roll-90').title == 'CaLDiff, preset fast, rolls=1, roll-90'


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('magic', "'magic' is not known"),
        ('fast:colour=1', "'fast:colour=1' is not known"),
        ('fast:particles=many', "'fast:particles=many' is not known"),
        ('fast:particles', "'fast:particles' is not known"),
        ('fast:selection.colour=1', 'is not known'),
        ('fast:refinement.levels.5.iterations=1', 'is not known'),
        ('fast:refinement.levels.last.iterations=1', 'is not known'),
        ('hloc:particles=1', 'is not known'),
        ('hloc@inverted', "'inverted' is not known"),
    ],
)
def test_what_is_not_known_is_explained(name, sentence):
    with pytest.raises(CaldiffError, match=sentence):
        named_method(name)


def test_every_figure_of_the_paper_belongs_to_a_method():
    for table in paper_tables().values():
        for splits in table.results.values():
            for methods in splits.values():
                assert set(methods) <= set(METHODS)


def test_a_plan_takes_the_scenes_that_are_there(tmp_path):
    for scene in ('lego', 'redkitchen', 'other'):
        (tmp_path / scene).mkdir()
    plan = Plan.make('table1', tmp_path)
    assert {map_spec.scene for map_spec in plan.settings} == {'lego'}
    assert len(plan.settings) == 3 * 5 and len(plan.methods) == 11
    [map_spec] = Plan.make('table2', tmp_path, variants=1).settings
    assert map_spec.name == 'redkitchen-200-50-v0'
    assert Plan.make('figure3', tmp_path).paper.image_width == 160
    assert Plan.make('figure3', tmp_path, scenes=['lego']).paper.image_width == 100
    hard = Plan.make('hard-cases', tmp_path)
    assert hard.methods[:4] == ('fast', 'hloc', 'fast@roll-90', 'hloc@roll-90')
    assert Plan.make('ablation', tmp_path, methods=['fast']).methods == ['fast']
    assert len(Plan.make('ablation', tmp_path).methods) > 10
    with pytest.raises(CaldiffError, match='none of the scenes'):
        Plan.make('table1', Path(tmp_path / 'other'))


def test_a_scene_made_of_another_needs_the_other_s_folder(tmp_path):
    (tmp_path / 'room').mkdir()
    plan = Plan.make('hard-cases', tmp_path, ['room+plain'], ['20-10'], 1)
    assert [map_spec.name for map_spec in plan.settings] == ['room+plain-20-10-v0']
    assert plan.methods[:4] == ('fast', 'hloc', 'fast@roll-90', 'hloc@roll-90')
    with pytest.raises(CaldiffError, match='hall is not a folder'):
        Plan.make('hard-cases', tmp_path, ['hall+plain'], ['20-10'], 1)
