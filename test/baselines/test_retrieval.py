# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Retrieval in the shipped map, among few views."""

from dataclasses import replace

import pytest
import torch

from caldiff_ros.baselines import retrieval
from caldiff_ros.baselines.retrieval import Retrieval, RetrievalConfig, ViewIndex, build_index
from caldiff_ros.baselines.setup import Setup
from caldiff_ros.diffusion.model import PoseDiffusion
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.run import Run
from caldiff_ros.localization.selection import near
from caldiff_ros.mapping.context import BuildContext
from caldiff_ros.mapping.rendered_views import RenderedViewsConfig
from maps import DIFFUSION

SMALL = RetrievalConfig(views=RenderedViewsConfig(count=6))


@pytest.fixture(scope='module')
def small(localization_map):
    """The shipped map with a network of its own that takes small images."""
    return replace(
        localization_map, diffusion=PoseDiffusion.make(DIFFUSION).requires_grad_(False).eval()
    )


@pytest.fixture(scope='module')
def index(small, views):
    return build_index(small, views, SMALL, BuildContext())


def photographed(views, i):
    """A view as a query's image."""
    return (views.rgb[i] * 255).round().to(torch.uint8).numpy()


def proposed(localization_map, index, image):
    query = Query(
        *localization_map.view(image, localization_map.camera),
        localization_map.camera,
        torch.device('cpu'),
    )
    return Retrieval(index, SMALL)(query, Run(localization_map, torch.Generator()))


def test_similarity_is_the_cosine_seen_from_the_mean():
    described = torch.tensor([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0]])
    index = ViewIndex(Pose.identity(3), described)
    assert index.similarity(torch.tensor([[5.0, -1.0]])).tolist() == pytest.approx([1, -1, 0])
    assert index.similarity(torch.tensor([[2.0, 3.0]])).tolist() == pytest.approx(
        [-(0.5**0.5), 0.5**0.5, 0]
    )


def test_a_training_view_is_found_again(small, views, index):
    for i in range(0, len(views), 3):
        first = proposed(small, index, photographed(views, i))[0]
        assert torch.equal(first.matrix(), views.T_norm_cam[i].matrix())


def test_the_proposed_poses_are_distinct_and_most_similar_first(small, views, index):
    poses = proposed(small, index, photographed(views, 2))
    assert 10 <= len(poses) <= 16
    for i in range(1, len(poses)):
        assert not near(poses[:i], poses[i], 0.03, 4.0).any()
    where = [int((index.T_norm_cam.t == t).all(1).nonzero()[0, 0]) for t in poses.t]
    similarity = index.similarity(index.described[2:3])[where]
    assert (similarity.diff() <= 0).all()


def test_the_index_is_made_once_and_anew_for_another_map(small, views, index, tmp_path):
    path = tmp_path / 'work/retrieval.safetensors'
    told = []

    def build(views, seed=0):
        told.clear()
        context = BuildContext(
            seed=seed, work=path.parent, report=lambda *progress: told.append(progress)
        )
        made = build_index(small, views, SMALL, context)
        return made, bool(told)

    assert build(views)[1]
    again, rendered = build(views)
    assert not rendered
    assert torch.equal(again.described, index.described)
    assert torch.equal(again.T_norm_cam.matrix(), index.T_norm_cam.matrix())
    assert build(views, seed=1)[1]
    assert build(replace(views, rgb=1 - views.rgb))[1]
    path.write_bytes(path.read_bytes()[:1000])
    assert build(views)[1]
    assert [file.name for file in path.parent.iterdir()] == ['retrieval.safetensors']


def test_the_index_on_disk_gives_the_same_answer(small, views, tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, 'RetrievalConfig', lambda: SMALL)
    image = photographed(views, 4)
    query = Query(*small.view(image, small.camera), small.camera, torch.device('cpu'))
    made, loaded = (
        retrieval.make_retrieval(Setup(small, views, tmp_path, device='cpu')) for _ in range(2)
    )
    poses = [each.propose(query, Run(small, torch.Generator())).matrix() for each in (made, loaded)]
    assert torch.equal(*poses)
    found = small.to_norm(loaded.localize(image, small.camera).T_map_cam[None])
    assert float(found.translation_error(views.T_norm_cam[4])) < 4e-3
    assert float(found.rotation_error_deg(views.T_norm_cam[4])) < 0.4
