# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compiled splatting against splatting written down once more, and against finite differences."""

import threading

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from splat_reference import reference_splat

from caldiff_ros.geometry import Camera, Pose
from caldiff_ros.nerf import gpu_splatting
from caldiff_ros.nerf.gaussians import GaussianConfig, GaussianField
from caldiff_ros.nerf.gpu_splatting import GaussianTensors, SplatCamera
from caldiff_ros.nerf.level_of_detail import merged
from caldiff_ros.nerf.splatting import gpu_rasterizer, splat

CAMERA = Camera(40, 30, 35.0, 36.0, 19.0, 16.0)
NEAR = 0.1
NAMES = ('means', 'log_scales', 'quaternions', 'logits', 'harmonics')


def some_gaussians(n=60, dtype=torch.float64, seed=0):
    """Gaussians of all shapes in front of the identity pose, some beside and behind it."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype)

    return GaussianTensors(
        0.6 * normal(n, 3) + torch.tensor([0, 0, 1.6], dtype=dtype),
        (0.6 * normal(n, 3) - 2.5).exp(),
        normal(n, 4),
        (2 * normal(n)).sigmoid(),
        0.3 * normal(n, 16, 3),
    )


def some_poses(n=2, dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    turn, t = (0.1 * torch.randn(n, 3, generator=rng, dtype=dtype) for _ in range(2))
    return Pose(roma.rotvec_to_rotmat(turn), t)


def make_field(gaussians, background='black', near=NEAR, focal_px=0.0):
    n, k, _ = gaussians[4].shape
    config = GaussianConfig(count=n, sh_degree=round(k**0.5) - 1, near=near, focal_px=focal_px)
    field = GaussianField(config, torch.tensor([[-1.0] * 3, [1.0] * 3]), background)
    means, scales, quaternions, opacities, harmonics = gaussians
    activated = means, scales.log(), quaternions, torch.logit(opacities), harmonics
    values = dict(zip(NAMES, activated, strict=True))
    field.load_state_dict({**field.state_dict(), **values})
    return field.requires_grad_(False).eval()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_images_are_those_of_the_reference(dtype, degree):
    gaussians = some_gaussians(dtype=dtype)
    gaussians = gaussians._replace(harmonics=gaussians[4][:, : (degree + 1) ** 2].contiguous())
    poses = some_poses(3, dtype)
    shown = splat(gaussians, poses, SplatCamera(CAMERA, NEAR))
    for i in range(3):
        wanted = reference_splat(gaussians, poses[i], CAMERA, NEAR)
        assert wanted[:, 4].max() > 0.9 and wanted[:, 4].min() < 0.1
        # light below a thousandth is not followed, an exponent is right to 5e-7
        assert (shown[i] - wanted).abs().max() < 2e-3


def test_some_pixels_are_those_of_the_image():
    gaussians = some_gaussians()
    poses = some_poses()
    image = splat(gaussians, poses, SplatCamera(CAMERA, NEAR))
    pixels = torch.randperm(40 * 30, generator=torch.Generator().manual_seed(3))[:333]
    assert torch.equal(splat(gaussians, poses, SplatCamera(CAMERA, NEAR), pixels), image[:, pixels])


def loss_of(gaussians, poses, pixels=None, dilation=0.0):
    """Weighted sum of everything that is shown, and of its squares."""
    shown = splat(gaussians, poses, SplatCamera(CAMERA, NEAR, dilation), pixels)
    rng = torch.Generator().manual_seed(4)
    weights = torch.randn(shown.shape, generator=rng, dtype=shown.dtype)
    return (shown * weights + shown**2 * weights.flip(-1)).sum()


def leaves():
    poses = some_poses()
    return [value.clone().requires_grad_() for value in (*some_gaussians(), poses.R, poses.t)]


@pytest.mark.parametrize(('some', 'dilation'), [(False, 0.0), (True, 0.0), (True, 0.1)])
def test_gradients_are_those_of_finite_differences(some, dilation):
    """Means, scales, quaternions, opacities, colours, and the pose."""
    pixels = torch.arange(0, 1200, 7) if some else None
    values = leaves()
    loss_of(values[:5], Pose(*values[5:]), pixels, dilation).backward()
    plain = [value.detach() for value in values]

    for value, exact in zip(plain, values, strict=True):
        flat = value.view(-1)
        chosen = torch.randperm(len(flat), generator=torch.Generator().manual_seed(5))[:25]

        def difference(i, step, flat=flat):
            was, ends = flat[i].item(), []
            for sign in (1, -1):
                flat[i] = was + sign * step
                ends.append(loss_of(plain[:5], Pose(*plain[5:]), pixels, dilation))
            flat[i] = was
            return (ends[0] - ends[1]) / (2 * step)

        numeric, finer = (torch.stack([difference(i, s) for i in chosen]) for s in (1e-6, 2e-7))
        # where an opacity passes 1 / 255 in between it jumps, and has no gradient
        smooth = (numeric - finer).abs() < 1e-3 * numeric.abs().median()
        assert smooth.sum() >= 0.8 * len(chosen)
        numeric, exact = numeric[smooth], exact.grad.view(-1)[chosen][smooth]
        assert numeric.norm() > 0
        assert (exact - numeric).norm() < 1e-3 * numeric.norm()
        assert (exact - numeric).abs().max() < 1e-3 * numeric.abs().max()


def test_gradients_of_sampled_pixels_to_the_pose_are_those_through_the_reference():
    """What iNeRF descends along: of the mean squared difference at some pixels."""
    gaussians = some_gaussians()
    start = some_poses(1)
    pixels = torch.arange(3, 1200, 11)
    target = torch.rand(len(pixels), 3, dtype=torch.float64)
    gradients = []

    def through_kernels(pose):
        return splat(
            gaussians, Pose(pose.R[None], pose.t[None]), SplatCamera(CAMERA, NEAR), pixels
        )[0]

    def through_reference(pose):
        return reference_splat(gaussians, pose, CAMERA, NEAR)[pixels]

    for shown in (through_kernels, through_reference):
        delta = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
        ((shown(start.retract(delta)[0])[:, :3] - target) ** 2).mean().backward()
        gradients.append(delta.grad[0])

    kernels, reference = gradients
    # the reference follows light below a thousandth, the kernels do not
    assert (kernels - reference).norm() < 2e-3 * reference.norm()


def test_places_have_the_gradients_of_moved_gaussians():
    """Pixels per pixel: a Gaussian's place in the image moves as its mean does."""
    gaussians = some_gaussians()
    places = torch.zeros(60, 2, dtype=torch.float64, requires_grad=True)
    pose = Pose(torch.eye(3).double()[None], torch.zeros(1, 3).double())
    shown = splat(gaussians, pose, SplatCamera(CAMERA, NEAR), places=places)
    assert places.grad is None
    shown[..., 4].sum().backward()
    # the sum over the whole image does not change with the place of one that is all in it
    p = gaussians[0]
    inside = (p[:, 2] > NEAR) & ((35 * p[:, 0] / p[:, 2]).abs() < 19)
    assert (places.grad[inside].abs().sum() > 0) and torch.isfinite(places.grad).all()
    assert (places.grad[p[:, 2] < NEAR] == 0).all()


@pytest.mark.parametrize('factor', [2, 4])
def test_a_smaller_image_is_the_large_one_reduced(factor):
    """Gaussians smaller than a pixel keep what they contribute: without the filter's share of the
    opacity they would be brighter, 1.3 and 3 times here."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-0.8, 0.8, 12)] * 2, indexing='ij'), -1)
    n = 144
    gaussians = (
        torch.cat([grid.view(-1, 2), torch.full((n, 1), 2.0)], dim=-1),
        torch.full((n, 3), 0.012),
        torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        torch.full((n,), 0.5),
        torch.ones(n, 1, 3),
    )
    field = make_field(gaussians)
    camera = Camera(160, 160, 160.0, 160.0, 80.0, 80.0)
    full = field.render(Pose.identity(1), camera).rgb.permute(0, 3, 1, 2)
    small = field.render(Pose.identity(1), camera.downscaled(factor)).rgb.permute(0, 3, 1, 2)
    reduced = torch.nn.functional.avg_pool2d(full, factor)
    # what falls below 1 / 255 at the rim of each is not drawn
    assert float(small.sum() / reduced.sum()) == pytest.approx(1, abs=0.07)


def test_merged_gaussians_have_the_moments_of_those_they_are_made_of():
    gaussians = some_gaussians(40)
    one, group = merged(gaussians, torch.full((40,), 1e3).double(), torch.zeros(40).double())
    # cells of 512: eight of them around the origin, at most
    assert len(one[0]) == len(group.unique()) <= 8
    for i in range(len(one[0])):
        here = (group == i).nonzero()[:, 0]
        mass = gaussians[3][here] * gaussians[1][here].sort(dim=1).values[:, 1:].prod(1)
        weight = (mass / mass.sum()).numpy()
        mean = weight @ gaussians[0][here].numpy()
        np.testing.assert_allclose(one[0][i].numpy(), mean, atol=1e-9)
        # the covariance of the mixture, by drawing nothing: E[xx] - E[x]E[x]
        second = np.zeros((3, 3))
        for w, j in zip(weight, here.tolist(), strict=True):
            x = Rotation.from_quat(gaussians[2][j, [1, 2, 3, 0]].numpy()).as_matrix()
            m = gaussians[0][j].numpy()
            second += w * (x @ np.diag(gaussians[1][j].numpy() ** 2) @ x.T + np.outer(m, m))
        axes = Rotation.from_quat(one[2][i, [1, 2, 3, 0]].numpy()).as_matrix()
        got = axes @ np.diag(one[1][i].numpy() ** 2) @ axes.T
        np.testing.assert_allclose(got, second - np.outer(mean, mean), atol=1e-9)


def test_a_trained_field_forgets_what_was_merged_when_it_changes():
    gaussians = some_gaussians(5000, torch.float32)
    field = make_field(gaussians, focal_px=1000.0)
    before = field.seen_by(CAMERA)
    assert field.seen_by(CAMERA) is before and len(before[0]) < 5000
    field.train()
    assert len(field.seen_by(CAMERA)[0]) == 5000
    field.eval()
    assert field.seen_by(CAMERA) is not before


def test_without_gsplat_a_gpu_is_helped_by_the_cpu(monkeypatch, caplog):
    def fails():
        raise RuntimeError('no nvcc')

    monkeypatch.setattr(gpu_splatting, 'load', fails)
    gpu_rasterizer.cache_clear()
    assert gpu_rasterizer(torch.device('cpu')) is None
    assert gpu_rasterizer(torch.device('cpu')) is None
    lines = [record.message for record in caplog.records]
    assert lines == ['Gaussians are rendered on the CPU: gsplat is of no use here (no nvcc)']
    gpu_rasterizer.cache_clear()


@pytest.mark.parametrize(('off', 'usable'), [(0.0, True), (0.002, True), (0.05, False)])
def test_a_rasterizer_that_shows_something_else_is_not_used(monkeypatch, caplog, off, usable):
    def rasterize(gaussians, pose, camera, places):
        return splat(gaussians, pose, camera) + off

    monkeypatch.setattr(gpu_splatting, 'load', lambda: rasterize)
    gpu_rasterizer.cache_clear()
    assert (gpu_rasterizer(torch.device('cpu')) is rasterize) == usable
    assert ('colours that differ by 0.05' in caplog.text) != usable
    gpu_rasterizer.cache_clear()


def test_depth_is_that_of_what_is_seen():
    """An opaque wall of Gaussians at z = 2, seen at an angle."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-2, 2, 81)] * 2, indexing='ij'), -1).view(
        -1, 2
    )
    n = len(grid)
    gaussians = (
        torch.cat([grid, torch.full((n, 1), 2.0)], dim=-1),
        torch.tensor([0.05, 0.05, 1e-4]).repeat(n, 1),
        torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        torch.full((n,), 0.997),
        torch.zeros(n, 1, 3),
    )
    turn = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.2, 0.0]]))
    pose = Pose(turn, torch.zeros(1, 3))
    out = make_field(gaussians).render(pose, CAMERA)
    directions = torch.from_numpy(CAMERA.pixel_directions()).float() @ turn[0].T
    wanted = (2 / directions[:, 2]).view(30, 40)
    assert (out.opacity > 0.99).all()
    assert (out.depth[0] - wanted).abs().max() < 0.02


@pytest.mark.parametrize('background', ['black', 'white'])
def test_poses_that_are_not_finite_and_fields_of_nothing_show_the_background(background):
    color = {'black': 0.0, 'white': 1.0}[background]
    poses = Pose(torch.eye(3).repeat(3, 1, 1), torch.zeros(3, 3))
    poses.t[1, 0] = torch.nan
    poses.R[2, 1, 1] = torch.inf
    field = make_field(some_gaussians(dtype=torch.float32), background)
    out = field.render(poses, CAMERA)
    assert out.opacity[0].max() > 0.5
    nothing = make_field([value[:0] for value in some_gaussians(dtype=torch.float32)], background)
    empty = nothing.render(poses[:1], CAMERA)
    for rgb, depth, opacity in (
        (out.rgb[1:], out.depth[1:], out.opacity[1:]),
        (empty.rgb, empty.depth, empty.opacity),
    ):
        assert (rgb == color).all() and (depth == 0).all() and (opacity == 0).all()


def test_a_camera_in_matter_or_far_away_shows_finite_images():
    gaussians = some_gaussians(dtype=torch.float32)
    field = make_field(gaussians, near=1e-3)
    inside = Pose(torch.eye(3).repeat(60, 1, 1), gaussians[0] - torch.tensor([0, 0, 2e-3]))
    out = field.render(inside, CAMERA)
    assert torch.isfinite(out.rgb).all() and torch.isfinite(out.depth).all()
    away = Pose(torch.eye(3)[None], torch.tensor([[0.0, 0.0, -1000.0]]))
    assert torch.isfinite(field.render(away, CAMERA).rgb).all()


def test_broken_gaussians_are_not_seen():
    gaussians = [value.clone() for value in some_gaussians(dtype=torch.float32)]
    whole = make_field(gaussians).render(Pose.identity(1), CAMERA).rgb
    extra = [torch.cat([value, value[:4]]) for value in gaussians]
    extra[0][60] = torch.nan
    extra[1][61] = torch.nan
    extra[2][62] = 0.0
    extra[3][63] = torch.nan
    broken = make_field(GaussianTensors(*extra)).render(Pose.identity(1), CAMERA).rgb
    torch.testing.assert_close(broken, whole, rtol=0, atol=1e-5)


def test_threads_render_the_same_at_once_and_alone():
    """Several callers at a time, each sharing its images out among threads."""
    field = make_field(some_gaussians(400, torch.float32))
    poses = some_poses(6, torch.float32)
    camera = CAMERA.resized(120, 90)
    alone = [field.render(poses[i : i + 1], camera).rgb for i in range(6)]
    wrong = []

    def render():
        for _ in range(5):
            together = field.render(poses, camera).rgb
            for i in range(6):
                if not torch.equal(field.render(poses[i : i + 1], camera).rgb, alone[i]):
                    wrong.append(i)
            if not torch.equal(together, torch.cat(alone)):
                wrong.append('together')

    callers = [threading.Thread(target=render) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_as_many_threads_as_torch_is_given(monkeypatch):
    from caldiff_ros.nerf import rasterizer

    names = set()
    blend = rasterizer.blend

    def watched(*arguments):
        names.add(threading.get_ident())
        return blend(*arguments)

    monkeypatch.setattr(rasterizer, 'blend', watched)
    field = make_field(some_gaussians(2000, torch.float32))
    camera = CAMERA.resized(400, 300)
    before = torch.get_num_threads()
    try:
        images = []
        for n in (1, 3):
            torch.set_num_threads(n)
            names.clear()
            images.append(field.render(some_poses(1, torch.float32), camera).rgb)
            assert len(names) == 1 if n == 1 else 1 < len(names) <= n
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*images)


def test_what_is_raised_before_an_image_ends_the_rendering():
    field = make_field(some_gaussians(dtype=torch.float32))
    poses = some_poses(40, torch.float32)
    begun = []

    def before(n_pixels):
        begun.append(n_pixels)
        if len(begun) == 3:
            raise InterruptedError('enough')

    with pytest.raises(InterruptedError, match='enough'):
        field.render(poses, CAMERA, before=before)
    assert len(begun) <= 3 + torch.get_num_threads()
    assert set(begun) == {1200}


def test_gsplats_own_reference_agrees():
    """Where gsplat is installed: projection and colours by its PyTorch implementation."""
    torch_impl = pytest.importorskip('gsplat.cuda._torch_impl')
    gaussians = some_gaussians(dtype=torch.float32)
    pose = some_poses(1, torch.float32)
    from caldiff_ros.nerf import rasterizer
    from caldiff_ros.nerf.splat_kernels import DEPTH, HALF_A, HALF_C, OPACITY, B, U, V

    arrays = tuple(value.numpy() for value in gaussians)
    numbers = rasterizer.camera_numbers(SplatCamera(CAMERA, NEAR))
    view = rasterizer.view(arrays, (pose.R[0].numpy(), pose.t[0].numpy()), numbers, (2, 3), 1)
    covariances, _ = torch_impl._quat_scale_to_covar_preci(gaussians[2], gaussians[1])
    _, means2d, depths, conics, shares = torch_impl._fully_fused_projection(
        gaussians[0],
        covariances,
        pose.inverse().matrix(),
        torch.from_numpy(CAMERA.matrix()).float()[None],
        CAMERA.width,
        CAMERA.height,
        near_plane=NEAR,
        calc_compensations=True,
    )
    ids = torch.from_numpy(view.ids).long()
    records = torch.from_numpy(view.records)
    assert len(ids) > 20
    assert torch.allclose(records[:, [U, V]], means2d[0, ids], atol=1e-3)
    assert torch.allclose(records[:, DEPTH], depths[0, ids], atol=1e-5)
    conic = torch.stack([2 * records[:, HALF_A], records[:, B], 2 * records[:, HALF_C]], dim=-1)
    central = (means2d[0, ids] - torch.tensor([20.0, 15.0])).abs() < torch.tensor([20.0, 15.0])
    central = central.all(-1)  # beyond the edge the linearization is held elsewhere
    assert np.allclose(conic[central], conics[0, ids][central], rtol=2e-3, atol=1e-4)
    opacity = gaussians[3][ids] * shares[0, ids]
    assert torch.allclose(records[:, OPACITY][central], opacity[central], atol=2e-3)
