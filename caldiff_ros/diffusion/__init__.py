# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pose diffusion model: conditioning network, denoiser, schedule, sampler, training."""
