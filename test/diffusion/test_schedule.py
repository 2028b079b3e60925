# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from caldiff_ros.diffusion.schedule import (
    ReverseStep,
    ScheduleConfig,
    add_noise,
    alpha_bars,
    implied_clean,
    implied_noise,
    reverse_steps,
)

PAPER = ScheduleConfig(zero_terminal_snr=False)


def test_paper_schedule_is_the_closed_form():
    product, expected = 1.0, [1.0]
    for t in range(1, 51):
        product *= 1 - (0.0001 + t * (0.02 - 0.0001) / 50)
        expected.append(product)
    assert alpha_bars(PAPER).tolist() == pytest.approx(expected, rel=1e-12)
    assert expected[-1] == pytest.approx(0.597, abs=5e-4)


def test_zero_terminal_snr_is_that_of_diffusers():
    betas = (0.0001 + torch.arange(1, 51) * (0.02 - 0.0001) / 50).tolist()
    reference = DDPMScheduler(50, trained_betas=betas, rescale_betas_zero_snr=True)
    bars = alpha_bars(ScheduleConfig())
    assert bars[-1] == 0
    # diffusers keeps a trace of signal at the last step of its own array
    assert torch.allclose(bars[1:-1].float(), reference.alphas_cumprod[:-1], atol=1e-6)


def test_equation_2_and_its_inverses():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, 7, generator=generator)
    alpha_bar = torch.full((5, 1), 0.36)
    noisy = add_noise(clean, noise, alpha_bar)
    assert torch.allclose(noisy, 0.6 * clean + 0.8 * noise, atol=1e-6)
    assert torch.allclose(implied_noise(noisy, clean, alpha_bar), noise, atol=1e-5)
    assert torch.allclose(implied_clean(noisy, noise, alpha_bar), clean, atol=1e-5)


def test_equation_3_as_printed():
    generator = torch.Generator().manual_seed(0)
    clean, psi, fresh = torch.randn(3, 4, 7, generator=generator)
    bars = alpha_bars(PAPER).float()
    t = 30
    noisy = bars[t].sqrt() * clean + (1 - bars[t]).sqrt() * psi
    alpha = 1 - (0.0001 + t * (0.02 - 0.0001) / 50)
    expected = (noisy - (1 - alpha) / (1 - bars[t]).sqrt() * psi) / alpha**0.5
    expected = expected + (1 - alpha) * fresh
    expected[:, 3:] /= expected[:, 3:].norm(dim=1, keepdim=True)
    step = reverse_steps(PAPER, 50)[50 - t]
    assert step.t == t
    assert torch.allclose(step.ancestral(noisy, clean, fresh), expected, atol=1e-5)


def test_ddim_step_is_that_of_diffusers():
    betas = (0.0001 + torch.arange(1, 51) * (0.02 - 0.0001) / 50).tolist()
    reference = DDIMScheduler(
        50, trained_betas=betas, prediction_type='sample', clip_sample=False,
        set_alpha_to_one=True, timestep_spacing='trailing',
    )  # fmt: skip
    reference.set_timesteps(10)
    generator = torch.Generator().manual_seed(0)
    noisy, clean = torch.randn(2, 4, 7, generator=generator)
    for step, timestep in zip(reverse_steps(PAPER, 10), reference.timesteps, strict=True):
        assert step.t == int(timestep) + 1
        expected = reference.step(clean, timestep, noisy).prev_sample
        moved = step.ddim(noisy, clean)
        if step.alpha_bar_next == 1:
            expected[:, 3:] /= expected[:, 3:].norm(dim=1, keepdim=True)
        assert torch.allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize('sampler', ['ancestral', 'ddim'])
def test_a_perfect_denoiser_leads_every_particle_home(sampler):
    generator = torch.Generator().manual_seed(0)
    target = torch.tensor([[0.1, -0.2, 0.3, 0.5, 0.5, -0.5, 0.5]]).expand(20, 7)
    vectors = torch.randn(20, 7, generator=generator)
    config = PAPER if sampler == 'ancestral' else ScheduleConfig()
    for step in reverse_steps(config, 50):
        fresh = torch.zeros(20, 7)
        if sampler == 'ancestral':
            vectors = step.ancestral(vectors, target, fresh)
            assert torch.allclose(vectors[:, 3:].norm(dim=1), torch.ones(20), atol=1e-5)
        else:
            vectors = step.ddim(vectors, target)
    assert torch.allclose(vectors, target, atol=1e-3)


def test_steps_run_from_noise_to_clean():
    steps = reverse_steps(ScheduleConfig(), 10)
    assert [step.t for step in steps] == [50, 45, 40, 35, 30, 25, 20, 15, 10, 5]
    assert steps[0].alpha_bar == 0 and steps[-1].alpha_bar_next == 1
    assert isinstance(steps[0], ReverseStep)
