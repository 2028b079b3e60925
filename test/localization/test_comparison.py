# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Residuals and how they change with the pose: PyTorch, and the kernels of CPU and GPU, agree."""

import importlib
import importlib.util
from dataclasses import replace

import pytest
import torch
from wall import CAMERA, VIEW, Wall, moved

from caldiff_ros.geometry import Pose
from caldiff_ros.localization import comparison, levenberg_marquardt
from caldiff_ros.localization import query as queries
from caldiff_ros.localization.comparison import (
    Level,
    Target,
    depth_edges,
    image_gradient,
    pixel_motion,
)
from caldiff_ros.localization.query import fit_exposure, fit_exposure_by_tensors
from caldiff_ros.nerf.bounded_view import BoundedView
from caldiff_ros.nerf.field import Rendering

LEVEL = Level(
    longer_side=100,
    iterations=5,
    blur_px=0.0,
    robust_scale=0.3,
    edge_weight=0.5,
    mean_gradient=True,
    min_step_px=0.05,
)
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
#: Longer side of images for the interpreter, which takes its time.
SMALL = 40
LEVELS = [LEVEL, replace(LEVEL, mean_gradient=False, blur_px=0.8, edge_weight=1.0)]


@pytest.fixture
def kernels(monkeypatch):
    """The GPU's kernels; without a GPU they are kernels, see conftest.py."""
    if importlib.util.find_spec('triton') is None:
        pytest.skip('Triton comes with PyTorch for CUDA')
    kernels = importlib.import_module('caldiff_ros.localization.gpu_comparison')
    monkeypatch.setattr(comparison, 'gpu_kernels', lambda device: kernels)
    return kernels


def colour_jacobian(out, pose):
    """Change of rendered colours (P, H, W) with the pose: (P, H * W, 3, 6)."""
    motion = pixel_motion(out.depth.flatten(1, 2), CAMERA)
    in_map = torch.cat([motion[..., :3] @ pose.R.mT[:, None], motion[..., 3:]], dim=-1)
    return image_gradient(out.rgb).flatten(1, 2) @ in_map


def test_jacobian_against_finite_differences():
    """Of a wall with slow colours, so that the image gradient is nearly exact."""
    field = Wall(cells=6)
    pose = moved(VIEW, 0.02, 10, seed=1)
    out = field.render(pose, CAMERA)
    J = colour_jacobian(out, pose)[0].view(80, 100, 3, 6)
    eps = 1e-3
    for k in range(6):
        delta = torch.zeros(1, 6)
        delta[0, k] = eps
        plus = field.render(pose.retract(delta), CAMERA).rgb[0]
        minus = field.render(pose.retract(-delta), CAMERA).rgb[0]
        expected = (plus - minus)[5:-5, 5:-5] / (2 * eps)
        got = J[5:-5, 5:-5, :, k]
        assert float((got - expected).norm() / expected.norm()) < 0.05


def test_edges_are_where_the_depth_jumps_and_where_the_object_ends():
    depth = torch.full((1, 6, 9), 2.0)
    depth[..., 4:] = 2.1  # a step of 5 %
    opacity = torch.ones(1, 6, 9)
    opacity[..., 7:] = 0  # nothing to the right; what its depth says there does not count
    depth[..., 7:] = 0
    edges = depth_edges(Rendering(torch.zeros(1, 6, 9, 3), depth, opacity))
    assert edges.shape == (1, 6, 9)
    assert edges[0].tolist() == [[False] * 3 + [True, True, False, True, True, False]] * 6
    tilted = 2 * 1.01 ** torch.arange(9).expand(1, 6, 9)  # 2 % from left to right neighbour
    smooth = Rendering(torch.zeros(1, 6, 9, 3), tilted, torch.ones(1, 6, 9))
    assert not bool(depth_edges(smooth).any())


def test_depth_of_the_render_matters():
    """With depth doubled the same image motion is blamed on half the translation."""
    out = Wall().render(VIEW, CAMERA)
    J = colour_jacobian(out, VIEW)
    far = colour_jacobian(Rendering(out.rgb, 2 * out.depth, out.opacity), VIEW)
    torch.testing.assert_close(far[..., :3], J[..., :3] / 2)
    torch.testing.assert_close(far[..., 3:], J[..., 3:], rtol=1e-4, atol=1e-4)


def on(device, out):
    return Rendering(out.rgb.to(device), out.depth.to(device), out.opacity.to(device))


def with_holes(out):
    """What is rendered where there is nothing at all, as beside an object."""
    opacity = out.opacity.clone()
    opacity[:, 8:16, 12:28] = 0.0
    return Rendering(out.rgb, out.depth, opacity)


@pytest.mark.parametrize('affine', [False, True])
@pytest.mark.parametrize('level', LEVELS)
def test_the_cpu_kernels_compute_what_pytorch_does(scene, level, affine):
    field, true, query = scene
    query = replace(query, affine_exposure=affine)
    rendering = field.render(moved(true, 0.01, 1, seed=5, n=2), query.camera)
    target = Target.of(query, level.blur_px)
    compiled = comparison._compiled_comparison(rendering, target, level)
    tensors = comparison._comparison(rendering, target, level)
    for got, expected in zip(compiled, tensors, strict=True):
        assert float((got - expected).norm() / expected.norm()) < 1e-4


@pytest.mark.parametrize('affine', [False, True])
@pytest.mark.parametrize('level', LEVELS)
def test_the_gpu_kernels_compute_what_those_of_the_cpu_do(scene, kernels, level, affine):
    field, true, query = scene
    query = replace(query.level(SMALL), affine_exposure=affine)
    rendering = with_holes(field.render(moved(true, 0.01, 1, seed=5, n=2), query.camera))
    compiled = comparison._compiled_comparison(rendering, Target.of(query, level.blur_px), level)
    there = Target.of(replace(query, device=DEVICE), level.blur_px)
    of_gpu = comparison._gpu_comparison(on(DEVICE, rendering), there, level)
    for got, expected in zip(of_gpu, compiled, strict=True):
        assert got.shape == expected.shape
        assert float((got.cpu() - expected).norm() / expected.norm()) < 1e-3


def test_cpu_and_gpu_fit_the_exposure_that_pytorch_does(kernels):
    rng = torch.Generator().manual_seed(3)
    rgb = torch.rand(2, 1500, 3, generator=rng)
    target = (0.7 * rgb[0] + 0.1 + 0.02 * torch.randn(1500, 3, generator=rng)).clamp(0, 1)
    target[:200] = 1.0  # something bright in front of it
    weight = (torch.rand(1500, 1, generator=rng) > 0.2).float()
    expected = fit_exposure_by_tensors(rgb, target, weight)
    for got, wanted in zip(fit_exposure(rgb, target, weight), expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-5)
    there = (values.to(DEVICE) for values in (rgb, target, weight[:, 0]))
    for got, wanted in zip(kernels.fit_exposure(*there).unbind(1), expected, strict=True):
        assert got.shape == wanted.shape
        assert torch.allclose(got.cpu(), wanted, atol=1e-4)
    assert expected[0][0].flatten().tolist() == pytest.approx([0.7] * 3, abs=0.03)


def test_without_a_compiler_pytorch_compares(kernels, monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError('no C compiler')

    monkeypatch.setattr(kernels, 'fit_exposure', fail)
    queries.gpu_kernels.cache_clear()
    assert queries.gpu_kernels(DEVICE) is None
    queries.gpu_kernels.cache_clear()
    assert 'compared by PyTorch: Triton is of no use here (no C compiler)' in caplog.text


# this field renders on the CPU, which a GPU cannot record
@pytest.mark.parametrize('bounded', [False] if DEVICE.type == 'cuda' else [False, True])
def test_the_gpu_takes_the_steps_that_the_cpu_does(scene, kernels, bounded):
    """Some of the poses arrive early, and some start where nothing of the wall is seen."""
    from caldiff_ros.localization.gpu_alignment import align_on_gpu

    field, true, query = scene
    start = Pose.cat([true, moved(true, 0.02, 3, seed=2), moved(true, 2.0, 90, seed=0)])
    level = replace(LEVEL, blur_px=0.8, mean_gradient=False, iterations=2)
    query = query.level(16)
    expected = levenberg_marquardt.align_level(field, query, start, level)
    there = replace(query, device=DEVICE)
    counted = []
    shown = OnDevice(field, bounded, counted.append)
    for n in (2, 3):  # those of the second time start in the memory of the first
        found, cost = align_on_gpu(shown, there, start[:n].to(DEVICE), level, lambda i, poses: None)
        poses = found.to('cpu')
        aligned = expected.T_norm_cam[:n]
        assert float(poses.translation_error(aligned).max()) < 1e-4
        assert float(poses.rotation_error_deg(aligned).max()) < 0.02
        assert torch.allclose(cost.cpu(), expected.cost[:n], rtol=1e-3, atol=1e-7)
    n_pixels = query.camera.width * query.camera.height
    assert counted == ([2 * n_pixels] * 3 + [3 * n_pixels] * 3) * bounded


class OnDevice:
    """A field of the CPU whose images are on another device."""

    def __init__(self, field, bounded, watch):
        self._field = field
        self._bounded = bounded
        self._watch = watch

    def render(self, poses, camera):
        return on(DEVICE, self._field.render(poses.to('cpu'), camera))

    def bounded_view(self, camera, n_poses):
        if not self._bounded:
            return None
        view = BoundedView(lambda poses, room: self.render(poses, camera), n_poses, DEVICE)
        view.watch = self._watch
        return view
