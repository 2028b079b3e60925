# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PoseNet on images whose colours tell the pose."""

from dataclasses import replace

import pytest
import torch

from caldiff_ros.baselines import posenet, posenet_training
from caldiff_ros.baselines.posenet import make_posenet
from caldiff_ros.baselines.posenet_training import PoseNet, PoseNetTraining, train_posenet
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.diffusion.conditioning import ConditioningConfig, make_conditioning
from caldiff_ros.diffusion.vectors import poses_of
from caldiff_ros.localization.presets import PRESETS
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.mapping.context import BuildContext

LITE0 = ConditioningConfig(backbone='efficientnet_lite0', grid=1, width=32, image_size=48)
SHORT = PoseNetTraining(
    conditioning=LITE0, head_iterations=200, iterations=220, images=8, head_copies=2
)


@pytest.fixture
def photographs(views):
    """Six views, (6, 3, 36, 48), and their poses."""
    images = torch.nn.functional.interpolate(
        views.rgb[:6].permute(0, 3, 1, 2), (36, 48), mode='bilinear', antialias=True
    )
    return images, views.T_norm_cam[:6]


def test_the_loss_of_learned_weights_in_closed_form():
    network = PoseNet(make_conditioning(LITE0), 0.5)
    predicted = torch.tensor([[1.0, 0, 0, 1, 0, 0, 0], [0, 0, -3, 0, 0.5, 0, 1]])
    # L1 norms of the position: 1 and 3; of the quaternion: 1 and 1.5
    for s in ((0.0, 0.0), (0.5, -3.0)):
        network.log_variances.data = torch.tensor(s)
        s_x, s_q = network.log_variances
        expected = 2 * (-s_x).exp() + s_x + 1.25 * (-s_q).exp() + s_q
        assert network.loss(predicted, torch.zeros(2, 7)).item() == pytest.approx(expected.item())


def test_a_few_views_are_learned_by_heart(photographs):
    images, poses = photographs
    training = replace(
        SHORT,
        conditioning=replace(LITE0, width=128),
        dropout=0.2,
        color_jitter=0.0,
        learning_rate=2e-3,
        backbone_share=0.03,
        head_iterations=900,
        iterations=920,
    )
    network = train_posenet(images, poses, training, BuildContext())
    found = poses_of(network(images))
    assert float(found.translation_error(poses).max()) < 0.15
    assert float(found.rotation_error_deg(poses).max()) < 15
    # which says nothing if they were alike
    assert float(poses.translation_error(poses[[0]]).max()) > 0.2
    assert float(poses.rotation_error_deg(poses[[0]]).max()) > 60


def test_the_backbone_is_trained_in_the_second_phase_only(photographs):
    before = make_conditioning(LITE0).backbone.stem.weight
    for extra in (0, 1):
        training = replace(SHORT, head_iterations=2, iterations=2 + extra)
        after = train_posenet(
            *photographs, training, BuildContext()
        ).conditioning.backbone.stem.weight
        assert torch.equal(before, after) == (extra == 0)


@pytest.mark.parametrize('stopped_at', [7, 14], ids=['head', 'whole'])
def test_a_resumed_training_equals_an_uninterrupted_one(
    photographs, stopped_at, tmp_path, monkeypatch
):
    monkeypatch.setattr(posenet_training.PoseNetTrainer, 'checkpoint_interval', 3)
    training = replace(SHORT, head_iterations=10, iterations=16)
    steps = []

    def stop(stage, step, n_steps, numbers):
        if step == stopped_at:
            raise KeyboardInterrupt

    def count(stage, step, n_steps, numbers):
        steps.append(step)

    whole = train_posenet(*photographs, training, BuildContext())
    with pytest.raises(KeyboardInterrupt):
        train_posenet(*photographs, training, BuildContext(work=tmp_path, report=stop))
    resumed = train_posenet(*photographs, training, BuildContext(work=tmp_path, report=count))
    assert steps == list(range(3 * ((stopped_at - 1) // 3) + 1, 17))
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    # and once done, it is not trained again
    train_posenet(*photographs, training, BuildContext(work=tmp_path, report=stop))


def test_its_one_pose_is_refined_as_in_the_paper(localization_map, views, tmp_path, monkeypatch):
    quick = replace(SHORT, head_iterations=2, iterations=2)
    monkeypatch.setattr(posenet, 'PoseNetTraining', lambda: quick)
    localizer = make_posenet(Setup(localization_map, views, tmp_path / 'work', device='cpu'))
    assert localizer.config == PRESETS['paper']
    image = (views.rgb[0] * 255).round().to(torch.uint8).numpy()
    query = Query(
        *localization_map.view(image, localization_map.camera),
        localization_map.camera,
        torch.device('cpu'),
    )
    poses = localizer.propose(query, Run(localization_map, torch.Generator()))
    assert len(poses) == 1
    assert [file.name for file in (tmp_path / 'work').iterdir()] == ['posenet.ckpt']
