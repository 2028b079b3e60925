# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The registry of the kinds of fields, and the context of a build."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from blobs import Blobs, photographed, ring

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.build import BUILD_PRESETS
from caldiff_ros.mapping.context import BuildContext, digest, weights_digest
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.gaussian_training import GaussianTrainer, GaussianTraining
from caldiff_ros.nerf.kinds import FIELD_KINDS, NATIVE_KIND, FieldKind


@pytest.mark.parametrize('kind', FIELD_KINDS.values(), ids=FIELD_KINDS)
def test_each_kind_has_a_training_for_every_build_preset(kind):
    assert set(kind.presets()) == set(BUILD_PRESETS)
    assert {training.kind for training in kind.presets().values()} == {kind.name}


def test_the_native_kind_needs_nothing_and_is_what_others_are_baked_into():
    native = FIELD_KINDS[NATIVE_KIND]
    native.check_installed()
    assert not native.is_baked
    build = BUILD_PRESETS['fast']
    assert build.field.kind == build.baking.training.kind == native.name


def test_a_kind_whose_package_is_missing_is_refused_before_anything_is_read():
    kind = FieldKind(
        name='splat', size=int, field=lambda *_: None, training='', requires='no_such_package'
    )
    says = r'^no_such_package cannot be imported, .* pip install no_such_package$'
    with pytest.raises(CaldiffError, match=says):
        kind.check_installed()


@dataclass(frozen=True)
class Config:
    rate: float
    part: object = None


def test_a_digest_tells_contents_apart():
    """Equal contents in other objects are equal; one other number, type or name is not."""
    images = torch.arange(12.0).view(2, 6)
    same = [Config(0.1, {'a': images}), Config(0.1, {'a': images.clone()})]
    others = [
        Config(0.2, {'a': images}),
        Config(0.1, {'b': images}),
        Config(0.1, {'a': images.double()}),
        Config(0.1, {'a': images.view(3, 4)}),
        Config(0.1, {'a': images + 1e-6}),
        GaussianTraining(),
    ]
    assert digest(same[0]) == digest(same[1])
    assert len({digest(value) for value in [same[0], *others]}) == 1 + len(others)
    assert digest('ab', 'c') != digest('a', 'bc')


def test_a_digest_of_unknown_content_is_refused():
    """The address of an object, which its repr shows, says nothing."""
    with pytest.raises(TypeError, match='a object cannot identify a checkpoint'):
        digest(object())


def test_a_checkpoint_belongs_to_its_inputs_and_seed(tmp_path):
    views = photographed(Blobs(), ring(2))
    context = BuildContext(seed=1, work=tmp_path)
    context.checkpoint('field', views, Config(0.1)).save({'step': 3})
    assert context.checkpoint('field', views, Config(0.1)).load() == {'step': 3}
    assert (
        context.checkpoint('field', views.subset(torch.tensor([True, False])), Config(0.1)).load()
        is None
    )
    assert context.checkpoint('field', views, Config(0.2)).load() is None
    assert (
        BuildContext(seed=2, work=tmp_path).checkpoint('field', views, Config(0.1)).load() is None
    )
    assert context.within('calibration').checkpoint('field', views, Config(0.1)).load() is None


@pytest.mark.parametrize('number', [np.int64(3), np.float32(0.5), np.bool_(True)])
def test_numbers_of_numpy_are_the_numbers_that_they_are(number):
    assert digest(number) == digest(number.item())


def test_a_checkpoint_makes_its_folder(tmp_path):
    context = BuildContext(work=tmp_path / 'not/yet')
    context.checkpoint('field', 1).save({'step': 3})
    assert context.checkpoint('field', 1).load() == {'step': 3}


def test_a_build_on_the_cpu_leaves_gpus_alone(monkeypatch):
    """Without a list of devices, fork_rng initializes CUDA on all of them."""
    asked = []

    @contextmanager
    def fork_rng(devices=None):
        asked.append(devices)
        yield

    monkeypatch.setattr(torch.random, 'fork_rng', fork_rng)
    for name in ('cpu', 'cuda:1'):
        with BuildContext(device=torch.device(name)).seeded():
            pass
    assert asked == [[], [torch.device('cuda:1')]]


SHORT = GaussianTraining(iterations=5, iterations_per_view=0, start_points=200)


def short_data() -> FieldViews:
    box = torch.tensor([[-0.5] * 3, [0.5] * 3])
    return FieldViews(views=photographed(Blobs(), ring(3)), aabb=box, background='white')


def stop_at_3(stage, step, *_):
    if step == 3:
        raise KeyboardInterrupt


def test_a_finished_field_is_taken_and_nothing_else_is_trained(tmp_path):
    context = BuildContext(work=tmp_path)
    finished = replace(context, finished_only=True)
    says = r'holds no finished field .* run caldiff train-nerf with the same arguments first$'
    with pytest.raises(CaldiffError, match=says):
        SHORT.train(short_data(), finished)
    assert not list(tmp_path.iterdir())

    trained = SHORT.train(short_data(), context)
    assert weights_digest(SHORT.train(short_data(), finished)) == weights_digest(trained)

    # another one in the same folder takes its place, and what it has done is not lost
    other = replace(SHORT, colors_learning_rate=0.01)
    other.train(short_data(), context)
    kept = (tmp_path / 'field.ckpt').read_bytes()
    with pytest.raises(CaldiffError, match=says):
        SHORT.train(short_data(), finished)
    assert (tmp_path / 'field.ckpt').read_bytes() == kept


def test_a_training_goes_on_only_where_its_generator_can(tmp_path, monkeypatch):
    """The state of a GPU's generator is none of a CPU's; what is finished needs neither."""
    monkeypatch.setattr(GaussianTrainer, 'checkpoint_interval', 2)
    context = BuildContext(work=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        SHORT.train(short_data(), replace(context, report=stop_at_3))

    def began_on_a_gpu():
        content = torch.load(tmp_path / 'field.ckpt', weights_only=True)
        content['state'].update(generator_device='cuda', generator=torch.zeros(16).byte())
        torch.save(content, tmp_path / 'field.ckpt')

    original = (tmp_path / 'field.ckpt').read_bytes()
    began_on_a_gpu()
    with pytest.raises(
        CaldiffError, match=r'started on cuda and cannot continue on cpu, .* --device cuda'
    ):
        SHORT.train(short_data(), context)

    (tmp_path / 'field.ckpt').write_bytes(original)
    whole = SHORT.train(short_data(), context)
    began_on_a_gpu()
    assert weights_digest(SHORT.train(short_data(), context)) == weights_digest(whole)


def test_a_part_of_a_build_is_reported_by_its_name():
    told = []
    context = BuildContext(report=lambda *progress: told.append(progress))
    context.within('calibration').progress('field', 2, 5, {'loss': 0.5})
    assert told == [('calibration field', 2, 5, {'loss': 0.5})]


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    context = BuildContext(seed=1)
    with context.seeded():
        first = torch.rand(2)
    with context.seeded():
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(3), expected)
