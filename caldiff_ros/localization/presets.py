# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The named ways to localize, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from caldiff_ros.diffusion.schedule import Sampler, ScheduleConfig
from caldiff_ros.errors import CaldiffError
from caldiff_ros.localization.alignment import AlignmentConfig, HiddenConfig
from caldiff_ros.localization.inerf import InerfConfig
from caldiff_ros.localization.matching import MatchingConfig
from caldiff_ros.localization.selection import SelectionConfig


@dataclass(frozen=True, kw_only=True)
class LocalizerConfig:
    """Every number of Algorithm 1."""

    particles: int = 100
    """P, the random poses to start from."""
    feature_dropout: float = 0.2
    """Share of the image's features that a particle does not see, another one for each: the
    particles spread where the diffusion model is unsure. 0 as in the paper."""
    rolls: int = 8
    """The particles are shown the image turned by this many multiples of 360 / rolls degrees, as a
    camera may be held at any angle; 1 takes it to be as upright as the training cameras."""
    affine_exposure: bool = True
    """Whether the query may be exposed and white-balanced otherwise than the map: colours are
    compared up to a gain and an offset per channel."""
    robust_scale: float | None = 0.3
    """Colour difference (0..1) beyond which a pixel counts less when poses are compared by
    photometric error (Geman-McClure): what stands in front of the scene must not choose between
    them. None as in the paper: the mean squared difference (equation 5)."""
    sampler: Sampler = 'ddim'
    """How a particle goes from one step to the next: DDIM, or equation 3 ('ancestral')."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Noise of the reverse process; the denoiser is told how noisy a particle is, so this need not
    be the schedule it was trained on."""
    diffusion_steps: int = 10
    """Steps of the reverse process, evenly spaced over the schedule."""
    integrated_inerf: InerfConfig | None = None
    """iNeRF inside the diffusion (section 3.8): its ``steps`` are M, after every reverse step."""
    selection: SelectionConfig = field(
        default_factory=lambda: SelectionConfig(
            longer_side=25, screening_side=12, min_distance=0.06, min_angle_deg=8.0
        )
    )
    """Which particles are refined."""
    refinement: InerfConfig | AlignmentConfig | None = field(default_factory=AlignmentConfig)
    """How they are refined: iNeRF, direct alignment from coarse to fine, or not at all."""
    matching: MatchingConfig | None = field(default_factory=MatchingConfig)
    """Features matched with renders: always in larger images, where that is more accurate, and else
    where no refined pose is trusted, as it reaches farther than the alignment."""
    prior_share: float = 0.5
    """Share of the particles that starts from a prior where one is given; the others stay uniform,
    so that a wrong prior can be overcome."""
    min_confidence: float = 0.5
    """Confidence from which a pose is trusted."""
    hidden: HiddenConfig | None = field(default_factory=HiddenConfig)
    """A second look where something may hide a part of the scene."""
    ambiguity_ratio: float = 2.0
    """A pose at another place that is trusted as well, with an error at most this many times that
    of the best, makes the answer ambiguous. Others need not be refined to the end."""
    check_focal_length: bool = True
    """Whether a trusted pose is given up if another focal length explains the image better. It
    takes a pose that was aligned: iNeRF leaves it too far off to tell."""

    def __post_init__(self) -> None:
        if self.matching is not None and isinstance(self.refinement, InerfConfig):
            raise CaldiffError(
                f'matching is {self.matching} beside refinement by iNeRF, expected None: only the '
                'alignment refines what matching finds; set matching to None'
            )


_FAST = LocalizerConfig()
_ALIGNMENT = AlignmentConfig()
*_COARSER, _FINEST = _ALIGNMENT.levels

PRESETS: dict[str, LocalizerConfig] = {
    # Algorithm 1 with the numbers of section 4.2. Not given in the paper, chosen here: M = 1 on 64
    # pixels, because 100 particles x 50 steps pay for it, and 512 pixels in a refinement step. The
    # schedule is the paper's own: its last alpha_bar is 0.60, so a denoiser trained on it never
    # saw the uniform particles that section 3.3 starts from.
    'paper': LocalizerConfig(
        particles=100,
        feature_dropout=0.0,
        rolls=1,
        affine_exposure=False,
        robust_scale=None,
        sampler='ancestral',
        schedule=ScheduleConfig(50, 0.0001, 0.02, zero_terminal_snr=False),
        diffusion_steps=50,
        integrated_inerf=InerfConfig(steps=1, learning_rate=0.007, pixels=64),
        selection=SelectionConfig(count=5),
        refinement=InerfConfig(
            steps=300, learning_rate=0.007, pixels=512, keypoints=100, radius_px=5
        ),
        matching=None,
        hidden=None,
        check_focal_length=False,
    ),
    # Few DDIM steps from zero terminal SNR, distinct candidates, direct alignment, matching.
    'fast': _FAST,
    # The same with more of everything, and the last level on all pixels that the map's camera has.
    'accurate': replace(
        _FAST,
        particles=400,
        selection=replace(_FAST.selection, count=10, screened=60),
        refinement=AlignmentConfig(
            levels=(
                *_COARSER,
                replace(_FINEST, longer_side=480, iterations=6, min_step_px=0.02),
            ),
            survivors=(5, 3, 2, 2),
        ),
    ),
}


def configuration(preset: str | LocalizerConfig) -> LocalizerConfig:
    """The configuration that a name stands for.

    Raises:
        CaldiffError: if there is no such preset.
    """
    if isinstance(preset, LocalizerConfig):
        return preset

    if preset not in PRESETS:
        raise CaldiffError(
            f'preset {preset!r} is not known, expected one of {", ".join(PRESETS)}; give one'
        )

    return PRESETS[preset]
