# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dispatch to the verbs, and errors as one sentence."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from caldiff_ros.cli.field_help import unwrapped_field_help
from caldiff_ros.errors import CaldiffError
from caldiff_ros.packages import package

#: Verbs and what they do; the module of 'build-map' is build_map.
VERBS = {
    'capture': 'make a dataset (images with poses) from a video or photos',
    'check': 'check whether images, poses and intrinsics are consistent',
    'build-map': 'build the map of a place from images with known poses',
    'train-nerf': 'the first half of build-map only: the radiance field',
    'train-diffusion': 'the second half of build-map only: the pose diffusion model',
    'localize': 'localize images in a map',
    'export': 'write the Gaussians of a map as a splat for viewers',
    'evaluate': 'measure how well a map localizes images with known poses',
    'reproduce': 'reproduce the tables and figures of the paper, with its baselines',
    'benchmark': 'compare the speed of presets and baselines',
}

#: Packages that some verbs need beyond the core, and the extras that install them.
_EXTRAS = {'reproduce': ('matplotlib', 'figures'), 'benchmark': ('matplotlib', 'figures')}

_BAD_INPUT = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the name of the program; default, those of the process.

    Returns:
        0 if it did what was asked, 2 on bad input, 130 if interrupted or cut off.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    verb = _parser().parse_args(argv[:1]).verb
    logging.basicConfig(stream=sys.stderr, format='caldiff: %(message)s')
    logging.getLogger('caldiff_ros').setLevel(logging.INFO)

    try:
        return _run(verb, argv[1:])
    except CaldiffError as error:
        print(f'caldiff {verb}: {error}', file=sys.stderr)
    except BrokenPipeError:  # the reader of the output has exited, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _INTERRUPTED
    except OSError as error:
        print(f'caldiff {verb}: {_about(error)}', file=sys.stderr)
    except KeyboardInterrupt:
        print(f'caldiff {verb}: interrupted', file=sys.stderr)
        return _INTERRUPTED

    return _BAD_INPUT


def _about(error: OSError) -> str:
    """A sentence about a full disk, or a folder that may not be written."""
    place = error.filename or 'the output'
    reason = error.strerror or error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f'{place} cannot be written ({reason}), expected free space on the disk; free some, or '
            'give an output on another disk'
        )

    return f'{place} cannot be used ({reason}), give another'


def _run(verb: str, argv: list[str]) -> int:
    module, arguments = parsed(verb, argv)
    return module.run(arguments)


def parsed(verb: str, argv: Sequence[str]) -> tuple[ModuleType, Any]:
    """The module of a verb, and its arguments as ``module.run`` takes them.

    Raises:
        CaldiffError: if a package that the verb needs is not installed, or a preset is not known.
        SystemExit: with a message on standard error, if the arguments are not understood.
    """
    # imported here, as torch takes seconds to import and `caldiff --help` does not need it
    import tyro

    if verb in _EXTRAS:
        package(*_EXTRAS[verb])

    module = importlib.import_module(f'caldiff_ros.cli.{verb.replace("-", "_")}')
    options = {'default': module.defaults(argv)} if hasattr(module, 'defaults') else {}
    with unwrapped_field_help(module.Arguments):
        arguments = tyro.cli(
            module.Arguments,
            args=argv,
            prog=f'caldiff {verb}',
            description=module.__doc__,
            **options,
        )

    return module, arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='caldiff',
        description='Global camera relocalization in a radiance field.',
        epilog='caldiff VERB --help describes a verb. Start with build-map, then localize.',
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    for verb, help_line in VERBS.items():
        verbs.add_parser(verb, help=help_line, add_help=False)

    return parser
