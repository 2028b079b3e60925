# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run of splatfacto gives its Gaussians in the frame of the poses it was trained on."""

import contextlib

import numpy as np
import pytest
import torch
from nerfstudio_files import SCALE, SHIFT, TURN, write_run
from scipy.spatial.transform import Rotation

from caldiff_ros.errors import CaldiffError
from caldiff_ros.mapping.splatfacto_run import read_splatfacto_run

MODEL = """\
  model: !!python/object:nerfstudio.models.splatfacto.SplatfactoModelConfig
    _target: !!python/name:nerfstudio.models.splatfacto.SplatfactoModel ''
    sh_degree: {degree}
    rasterize_mode: {mode}
"""
#: Factor of the harmonics of degree 1.
C1 = (3 / (4 * np.pi)) ** 0.5


def gaussians(n=5, degree=1):
    """Of the dataset: means, deviations, axes, opacities, and harmonics of degree 0 and 1.

    Those of degree 1 are vectors (n, 3, 3) whose product with the direction is what they add to
    each colour.
    """
    rng = np.random.default_rng(0)
    axes = Rotation.random(n, random_state=0).as_matrix()
    vectors = rng.normal(size=(n, 3, 3)) if degree else np.zeros((n, 0, 3))
    opacities, constant = rng.normal(size=(n, 1)), rng.normal(size=(n, 3))
    return rng.normal(size=(n, 3)), rng.uniform(0.1, 1, (n, 3)), axes, opacities, constant, vectors


def state(means, deviations, axes, opacities, constant, vectors, prefix='gauss_params.'):
    """What the training holds of them, in its own frame."""
    rest = np.zeros((len(means), 0, 3))
    if vectors.shape[1]:
        x, y, z = np.einsum('ij,ncj->inc', TURN, vectors) / C1
        rest = np.stack([-y, z, -x], axis=1)
    values = {
        'means': SCALE * (means @ TURN.T + SHIFT),
        'scales': np.log(SCALE * deviations),
        # of any norm, as in training
        'quats': 3 * Rotation.from_matrix(TURN @ axes).as_quat()[:, [3, 0, 1, 2]],
        'opacities': opacities,
        'features_dc': constant,
        'features_rest': rest,
    }
    named = {
        f'_model.{prefix}{name}': torch.from_numpy(value).float() for name, value in values.items()
    }
    return {
        **named,
        '_model.device_indicator_param': torch.empty(0),
        'datamanager.x': torch.ones(1),
    }


def written(root, content, degree=1, mode='classic'):
    return write_run(root, 'splatfacto', MODEL.format(degree=degree, mode=mode), {29999: content})


@pytest.mark.parametrize('prefix', ['gauss_params.', ''])
def test_gaussians_are_those_of_the_dataset(tmp_path, prefix):
    means, deviations, axes, opacities, constant, vectors = gaussians()
    content = state(means, deviations, axes, opacities, constant, vectors, prefix=prefix)
    splat = read_splatfacto_run(written(tmp_path, content))
    np.testing.assert_allclose(splat.means, means, atol=1e-5)
    np.testing.assert_allclose(np.exp(splat.log_scales), deviations, rtol=1e-5)
    read_axes = Rotation.from_quat(splat.quaternions[:, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(read_axes, axes, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(splat.quaternions, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(splat.logits, opacities[:, 0], rtol=1e-6)
    np.testing.assert_allclose(splat.harmonics[:, 0], constant, rtol=1e-6)
    minus_y, z, minus_x = splat.harmonics[:, 1:].transpose(1, 0, 2) * C1
    np.testing.assert_allclose(np.stack([-minus_x, -minus_y, z], axis=2), vectors, atol=1e-5)


def test_without_harmonics_the_training_holds_logits_of_colors(tmp_path):
    values = gaussians(degree=0)
    splat = read_splatfacto_run(written(tmp_path, state(*values), degree=0))
    colors = 0.5 + splat.harmonics[:, 0] / (2 * np.pi**0.5)
    np.testing.assert_allclose(colors, 1 / (1 + np.exp(-values[4])), atol=1e-6)


@pytest.mark.parametrize(('mode', 'antialiased'), [('classic', False), ('antialiased', True)])
def test_how_it_was_trained(tmp_path, mode, antialiased):
    run = written(tmp_path, state(*gaussians()), mode=mode)
    assert read_splatfacto_run(run).antialiased is antialiased


def without_means(content):
    del content['_model.gauss_params.means']


def fewer_scales(content):
    content['_model.gauss_params.scales'] = torch.zeros(4, 3)


def odd_harmonics(content):
    content['_model.gauss_params.features_rest'] = torch.zeros(5, 4, 3)


@pytest.mark.parametrize(
    ('damage', 'sentence'),
    [
        (without_means, 'holds no means, expected the Gaussians of splatfacto'),
        (fewer_scales, r'holds scales of shape \(4, 3\), expected'),
        (odd_harmonics, 'holds 5 harmonics, expected'),
    ],
)
def test_other_checkpoints_are_told(tmp_path, damage, sentence):
    content = state(*gaussians())
    damage(content)
    with pytest.raises(CaldiffError, match=sentence):
        read_splatfacto_run(written(tmp_path, content))


def test_other_models_are_told(tmp_path):
    run = written(tmp_path, state(*gaussians()))
    config = run / 'config.yml'
    config.write_text(config.read_text().replace('SplatfactoModel ', 'NerfactoModel '))
    with pytest.raises(CaldiffError, match=r'\(NerfactoModel\), expected splatfacto or'):
        read_splatfacto_run(run)


@pytest.mark.parametrize('degree', [0, 3])
def test_what_nerfstudios_own_model_saves_is_read(tmp_path, degree):
    model = own_model(degree)
    content = {f'_model.{name}': value for name, value in model.state_dict().items()}
    splat = read_splatfacto_run(written(tmp_path, content, degree=degree))
    with torch.no_grad():
        means, constant, rest = model.means.numpy(), model.shs_0.numpy(), model.shs_rest.numpy()
    back = SCALE * (splat.means @ TURN.T + SHIFT)
    np.testing.assert_allclose(back, means, atol=1e-4)
    np.testing.assert_allclose(splat.harmonics[:, 0], constant, atol=1e-5)
    assert splat.harmonics.shape[1] == 1 + rest.shape[1] == (degree + 1) ** 2


def own_model(degree):
    """A model of nerfstudio's, of random Gaussians; without what weights are downloaded for."""
    splatfacto = pytest.importorskip('nerfstudio.models.splatfacto')
    from nerfstudio.data.scene_box import SceneBox

    from caldiff_ros.nerf.nerfacto import without_image_metrics

    with without_image_metrics(), contextlib.redirect_stdout(None):
        config = splatfacto.SplatfactoModelConfig(random_init=True, num_random=50, sh_degree=degree)
        return config.setup(scene_box=SceneBox(torch.zeros(2, 3)), num_train_data=1)
