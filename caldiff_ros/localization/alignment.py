# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Direct alignment on image gradients, from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from caldiff_ros.errors import CaldiffError
from caldiff_ros.geometry import Pose
from caldiff_ros.localization.comparison import Level
from caldiff_ros.localization.levenberg_marquardt import Aligned, align_level
from caldiff_ros.localization.query import Query
from caldiff_ros.localization.selection import SelectionConfig, select
from caldiff_ros.nerf.field import RadianceField

#: The size that is fine enough for most maps.
_FINE = Level(
    longer_side=200,
    iterations=4,
    blur_px=0.0,
    robust_scale=0.15,
    edge_weight=0.4,
    mean_gradient=True,
    min_step_px=0.1,
)
#: Levels that serve in general; the last ones on smaller images are of their own size.
_LEVELS = (
    Level(
        longer_side=25,
        iterations=16,
        blur_px=0.8,
        robust_scale=0.5,
        edge_weight=1.0,
        mean_gradient=False,
        min_step_px=0.2,
    ),
    Level(
        longer_side=50,
        iterations=8,
        blur_px=0.8,
        robust_scale=0.5,
        edge_weight=1.0,
        mean_gradient=False,
        min_step_px=0.2,
    ),
    Level(
        longer_side=100,
        iterations=5,
        blur_px=0.0,
        robust_scale=0.5,
        edge_weight=0.4,
        mean_gradient=False,
        min_step_px=0.5,
    ),
    _FINE,
    replace(_FINE, iterations=2, mean_gradient=False),
)


@dataclass(frozen=True, kw_only=True)
class HiddenConfig:
    """A second look at an image of which something may hide a part."""

    unless_confidence: float = 0.9
    """A pose of this confidence makes it superfluous, as does matching, which does not mind what
    hides the scene."""
    count: int = 12
    """Poses that are refined."""
    kept: int = 4
    """Of these, those that go on from the coarsest level; half of them from the others."""
    robust_scale: float = 0.15
    """Colour difference (0..1) beyond which a pixel counts less when poses are compared."""
    aligned_scale: float = 0.2
    """The most of it when they are aligned."""

    def survivors(self, n_levels: int) -> tuple[int, ...]:
        """Hypotheses that go on from each of so many levels to the next."""
        return (self.kept, *[self.kept // 2] * (n_levels - 2))[: n_levels - 1]


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Coarse-to-fine alignment.

    Raises:
        CaldiffError: if there is not one number of survivors between any two levels.
    """

    levels: tuple[Level, ...] = _LEVELS
    """From coarse to fine."""
    survivors: tuple[int, ...] = (3, 2, 2, 2)
    """Hypotheses that go on from each level to the next, the best by cost."""
    copy_distance: float = 0.005
    """Hypotheses that come nearer to a better one than this (normalized units, both this and
    ``copy_angle_deg``) at the end of a level are copies, which do not enter the next."""
    copy_angle_deg: float = 0.75
    """See ``copy_distance``, in degrees."""

    def __post_init__(self) -> None:
        if len(self.survivors) != len(self.levels) - 1:
            raise CaldiffError(
                f'survivors are {self.survivors} for {len(self.levels)} levels, expected one '
                'number between any two of them; correct it'
            )

    def keeping(self, *survivors: int) -> AlignmentConfig:
        """The same with other numbers of hypotheses that go on."""
        return replace(self, survivors=survivors)

    def finer(self, longer_side: int) -> AlignmentConfig:
        """The levels from a size on, for a single pose that is nearly right."""
        levels = tuple(level for level in self.levels if level.longer_side >= longer_side)
        return replace(self, levels=levels, survivors=(1,) * (len(levels) - 1))

    def coarser(self, longer_side: int) -> AlignmentConfig:
        """The levels below a size, for what is going to be made exact otherwise."""
        levels = tuple(level for level in self.levels if level.longer_side < longer_side)
        return replace(self, levels=levels, survivors=self.survivors[: len(levels) - 1])

    def more_robust(self, hidden: HiddenConfig) -> AlignmentConfig:
        """The same for images of which something hides a part."""
        levels = tuple(
            replace(level, robust_scale=min(level.robust_scale, hidden.aligned_scale))
            for level in self.levels
        )
        return replace(self, levels=levels, survivors=hidden.survivors(len(levels)))

    def select_survivors(self, aligned: Aligned, count: int, rival_ratio: float) -> Pose:
        """The best of the hypotheses (P,), at most ``count``, neither copies nor hopeless."""
        distinct = SelectionConfig(
            count=count, min_distance=self.copy_distance, min_angle_deg=self.copy_angle_deg
        )
        chosen = select(aligned.T_norm_cam, aligned.cost, distinct)
        cost = aligned.cost[chosen]
        # a cost of 0 times infinity is no bound
        hopeless = cost > max(rival_ratio, 1) * cost[:1]

        return aligned.T_norm_cam[chosen[~hopeless]]


#: Alignment that maps are calibrated with and that covariances are measured at. It does not follow
#: the presets: a calibration holds for all of them, and those in existing maps were made with it.
CALIBRATION_ALIGNMENT = AlignmentConfig(
    levels=_LEVELS, survivors=(3, 2, 2, 2), copy_distance=0.005, copy_angle_deg=0.75
)


def align(
    field: RadianceField,
    query: Query,
    poses: Pose,
    config: AlignmentConfig,
    rival_ratio: float = float('inf'),
    on_step: Callable[[int, Pose], None] = lambda step, poses: None,
) -> Aligned:
    """Align poses (P,) from coarse to fine; fewer and fewer of them, best first.

    Those with more than ``rival_ratio`` times the cost of the best at the end of a level are given
    up: one that is clearly right needs no company.
    """
    aligned: Aligned | None = None
    visited: tuple[object, ...] | None = None

    for i, level in enumerate(config.levels):
        reduced = query.level(level.longer_side)
        comparison = (
            reduced.camera,
            level.blur_px,
            level.robust_scale,
            level.edge_weight,
            level.mean_gradient,
        )

        if visited == comparison:  # the image has no more pixels than that
            continue

        visited = comparison
        if aligned is not None:
            # what has met at one pose goes on once: other places are not crowded out by copies
            poses = config.select_survivors(aligned, config.survivors[i - 1], rival_ratio)

        aligned = align_level(field, reduced, poses, level=level, on_step=on_step)

    if aligned is None:
        raise CaldiffError('the alignment has no levels, expected at least one; give one')

    order = aligned.cost.argsort()
    return Aligned(aligned.T_norm_cam[order], aligned.cost[order])
