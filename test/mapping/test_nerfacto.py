# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""nerfacto against nerfstudio itself, on a run that nerfstudio's own trainer made."""

import math
import socket
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from plane_world import look_at, write_nerfstudio

from caldiff_ros.geometry import Normalization, Pose, opengl_to_optical
from caldiff_ros.localization import LocalizationMap
from caldiff_ros.localization.presets import configuration
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.stages import refine
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.field_training import FieldViews
from caldiff_ros.mapping.nerfacto_run import nerfacto_from_run
from caldiff_ros.mapping.nerfacto_training import CPU_NERFACTO, train_nerfacto
from caldiff_ros.mapping.nerfstudio_run import NerfstudioRun
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.nerfacto import SurfaceDepth
from caldiff_ros.scenes import open_scene
from maps import make_map

pytest.importorskip('nerfstudio', reason='nerfstudio is not installed (extra nerfstudio)')

TINY = replace(
    CPU_NERFACTO,
    iterations=60,
    rays=512,
    samples=24,
    levels=4,
    max_resolution=64,
    log2_hashmap_size=12,
)
RING = [look_at([np.cos(a), 0.8 * np.sin(a), 2.6], [0.1, 0, 0]) for a in np.linspace(0, 5, 8)]


def refuse(*args, **kwargs):
    raise AssertionError('something tried to reach the network')


@pytest.fixture(autouse=True, scope='module')
def no_network():
    """Robots are offline: whoever reaches out fails, in the training of the run as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, 'connect', refuse)
        patch.setattr(socket, 'getaddrinfo', refuse)
        yield


@pytest.fixture(scope='module')
def views(tmp_path_factory):
    scene = open_scene(write_nerfstudio(tmp_path_factory.mktemp('plane'), RING))
    centers = np.stack([frame.T_map_cam[:3, 3] for frame in scene.frames])
    normalization = Normalization.from_camera_centers(centers)
    return Views.load(scene.frames, scene.frames[0].camera, normalization)


def field_views(views: Views) -> FieldViews:
    return FieldViews(views=views, aabb=torch.tensor([[-0.5] * 3, [0.5] * 3]), background='none')


@pytest.fixture(scope='module')
def run(views, tmp_path_factory):
    losses = []

    def report(stage, step, n_steps, numbers):
        losses.append(numbers['loss'])

    folder = tmp_path_factory.mktemp('work')
    data, context = field_views(views), BuildContext(report=report)
    run = train_nerfacto(data, TINY, folder, context)
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.8 * losses[0]
    again = train_nerfacto(data, TINY, folder, context)
    assert len(losses) == 60 and again.config_path == run.config_path  # it was finished
    return run


def test_renders_are_those_of_nerfstudio(run, views):
    """The same cameras through nerfstudio's pipeline as it loads its own runs."""
    from nerfstudio.model_components.renderers import DepthRenderer
    from nerfstudio.utils.eval_utils import eval_setup

    from caldiff_ros.nerf.nerfacto import without_image_metrics

    with without_image_metrics():
        _, pipeline, _, _ = eval_setup(run.config_path, test_mode='test')
    field = nerfacto_from_run(run, None)
    field.model.renderer_expected_depth = DepthRenderer('expected')  # ours has its own test
    out = field.render(views.T_norm_cam, views.camera)
    cameras = pipeline.datamanager.train_dataset.cameras
    scale = float(pipeline.datamanager.train_dataparser_outputs.dataparser_scale)
    for i in range(0, len(views), 3):
        theirs = pipeline.model.get_outputs_for_camera(cameras[i : i + 1])
        error = ((out.rgb[i] - theirs['rgb']) ** 2).mean()
        assert -10 * torch.log10(error) > 40
        torch.testing.assert_close(out.opacity[i], theirs['accumulation'][..., 0])
        rays = cameras.generate_rays(i).directions
        z = (rays * -cameras.camera_to_worlds[i, :, 2]).sum(-1)  # cosine to the optical axis
        expected = theirs['expected_depth'][..., 0] * z / scale
        torch.testing.assert_close(out.depth[i], expected, rtol=1e-3, atol=0)


def test_rendering_is_differentiable_with_respect_to_the_pose(run, views):
    """Of most pixels: a difference across the edge of a hash cell, or a kink, says nothing."""
    field = nerfacto_from_run(run, None)
    pose, camera = views.T_norm_cam[2:3], views.camera
    rows = torch.linspace(0.3, 0.7, 5).mul(camera.height).long()
    columns = torch.linspace(0.3, 0.7, 5).mul(camera.width).long()
    pixels = (rows[:, None] * camera.width + columns).flatten()

    def brightness(offset):
        return field.render_pixels(pose.retract(offset), camera, pixels).rgb.sum((0, 2))

    exact = torch.autograd.functional.jacobian(brightness, torch.zeros(1, 6))[:, 0]
    eps = 2e-4  # hash cells are linear only inside
    with torch.no_grad():
        steps = eps * torch.eye(6)[:, None]
        numeric = torch.stack([(brightness(d) - brightness(-d)) / (2 * eps) for d in steps], -1)

    cosine = torch.nn.functional.cosine_similarity(exact, numeric, dim=1)
    assert float(cosine.median()) > 0.95
    ratio = exact.norm(dim=1) / numeric.norm(dim=1)
    assert float(ratio.median()) == pytest.approx(1, abs=0.1)


def test_refinement_through_the_field_recovers_the_pose(run, views):
    """From 3 degrees and 0.02 away to a view that the field itself shows."""
    built = make_map(field=nerfacto_from_run(run, None))
    true = views.T_norm_cam[3:4]
    image = (built.field.render(true, views.camera).rgb[0] * 255).round().to(torch.uint8)
    query = Query(image.numpy(), views.seen[3].numpy(), views.camera, 'cpu', affine_exposure=True)
    offset = 0.02 * torch.tensor([0.6, -0.48, 0.64])
    turn = math.radians(3) * torch.tensor([-0.64, 0.6, 0.48])
    start = true.retract(torch.cat([offset, turn])[None])
    found = refine(start, query, configuration('fast'), Run(built, torch.Generator())).T_norm_cam[0]
    assert float(true[0].translation_error(found)) < 0.002
    assert float(true[0].rotation_error_deg(found)) < 0.2


@pytest.mark.parametrize(
    ('orientation', 'center', 'scale'),
    list(product(['none', 'up'], ['none', 'poses'], [False, True])),
)
def test_transforms_of_the_dataparser_are_undone(run, views, tmp_path, orientation, center, scale):
    """A pose of the user, taken into the field, is the camera that nerfstudio trains there."""
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    data = write_nerfstudio(tmp_path / 'data', RING)
    parsed = NerfstudioDataParserConfig(
        data=data,
        downscale_factor=1,
        orientation_method=orientation,
        center_method=center,
        auto_scale_poses=scale,
        eval_mode='all',
    ).setup()
    outputs = parsed.get_dataparser_outputs('train')
    folder = tmp_path / 'run'
    (folder / 'nerfstudio_models').mkdir(parents=True)
    (folder / 'config.yml').write_bytes(run.config_path.read_bytes())
    outputs.save_dataparser_transform(folder / 'dataparser_transforms.json')
    checkpoint = next(run.config_path.parent.glob('nerfstudio_models/*.ckpt'))
    (folder / 'nerfstudio_models' / checkpoint.name).symlink_to(checkpoint)
    loaded = NerfstudioRun.load(folder, data)
    T_map_cam = opengl_to_optical(np.stack(RING))
    normalization = Normalization.from_camera_centers(T_map_cam[:, :3, 3])
    field = nerfacto_from_run(loaded, normalization)
    norm = normalization.to_norm(Pose.from_matrix(T_map_cam))
    A, b = field.nerf_from_norm[:, :3].double(), field.nerf_from_norm[:, 3].double()
    theirs = outputs.cameras.camera_to_worlds.double()
    torch.testing.assert_close(norm.t @ A.T + b, theirs[:, :, 3], rtol=0, atol=1e-5)
    turn = A / torch.linalg.det(A) ** (1 / 3)
    expected = torch.from_numpy(np.diag([1.0, -1, -1]))
    torch.testing.assert_close(turn @ norm.R @ expected, theirs[:, :, :3], rtol=0, atol=1e-5)


def test_depth_is_the_mean_of_the_middle_fifth():
    """Worked out by hand, with haze in front and a far background behind."""
    t = torch.tensor([[1.0], [2.0], [3.0], [100.0]])
    samples = SimpleNamespace(frustums=SimpleNamespace(starts=t - 0.25, ends=t + 0.25))
    for weights, expected in (
        ([0.2, 0.5, 0.2, 0.1], 2.0),
        ([0.1, 0.125, 0.15, 0.125], (0.05 * 2 + 0.15 * 3) / 0.2),  # opacity 0.5
        ([0.25, 0.25, 0.25, 0.25], 2.5),
        ([0.0, 0.0, 0.0, 0.0], 0.0),
    ):
        depth = SurfaceDepth()(torch.tensor(weights)[:, None], samples)
        assert float(depth) == pytest.approx(expected, rel=1e-4)


def test_a_stopped_training_goes_on_where_it_was_saved(views, tmp_path, monkeypatch):
    monkeypatch.setattr('caldiff_ros.mapping.nerfacto_training._SAVE_INTERVAL', 3)
    steps = []

    def report(stage, step, n_steps, numbers):
        steps.append(step)
        if steps == [1, 2, 3, 4, 5]:
            raise KeyboardInterrupt

    short = replace(TINY, iterations=7)
    with pytest.raises(KeyboardInterrupt):
        train_nerfacto(field_views(views), short, tmp_path, BuildContext(report=report))
    train_nerfacto(field_views(views), short, tmp_path, BuildContext(report=report))
    assert steps == [1, 2, 3, 4, 5, 5, 6, 7]  # saved after the fourth


def test_building_the_model_fetches_nothing(run, tmp_path, monkeypatch):
    """nerfstudio's own constructor fetches the weights of an image metric; ours does not."""
    from nerfstudio.data.scene_box import SceneBox
    from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))  # nothing was fetched before
    nerfacto_from_run(run, None)
    box = SceneBox(aabb=torch.tensor([[-1.0] * 3, [1.0] * 3]))
    with pytest.raises(AssertionError, match='reach the network'):
        NerfactoModel(NerfactoModelConfig(implementation='torch'), scene_box=box, num_train_data=1)


def test_a_checkpoint_of_another_size_is_refused(run):
    from caldiff_ros.errors import CaldiffError

    other = replace(run, settings={**run.settings, 'num_levels': 6})
    with pytest.raises(CaldiffError, match='does not fit its configuration'):
        nerfacto_from_run(other, None)
    tcnn = replace(run, weights={**run.weights, 'field.mlp_base.tcnn_encoding.params': None})
    if not torch.cuda.is_available():
        with pytest.raises(CaldiffError, match='trained with tiny-cuda-nn'):
            nerfacto_from_run(tcnn, None)


def test_a_map_keeps_the_field(run, views, tmp_path):
    made = make_map(field=nerfacto_from_run(run, None))
    made.save(tmp_path / 'map')
    loaded = LocalizationMap.load(tmp_path / 'map')
    before, after = (m.field.render(views.T_norm_cam[:2], views.camera) for m in (made, loaded))
    assert float(((before.rgb - after.rgb) ** 2).mean()) < 1e-5


def test_a_training_without_a_work_folder_leaves_no_files(views, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    short = replace(TINY, iterations=2)
    field = short.train(field_views(views), BuildContext())
    assert field.render(views.T_norm_cam[:1], views.camera).rgb.isfinite().all()
    assert not list(tmp_path.iterdir())
