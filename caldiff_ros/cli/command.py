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

from caldiff_ros.errors import CaldiffError

#: Verbs and what they do; the module of 'build-map' is build_map.
VERBS = {
    'capture': 'make a dataset, images with known poses, from a video or photos',
    'check': 'tell whether images, poses and intrinsics agree, before a map is made of them',
    'build-map': 'make the map of a place from images with known poses',
    'train-nerf': 'only the first half of build-map: the radiance field',
    'train-diffusion': 'only the second half of build-map: the pose diffusion model',
    'localize': 'tell where images were taken, in a map',
    'evaluate': 'measure how well a map localizes images with known poses',
    'reproduce': 'print the tables and figures of the paper again, with its rivals',
    'benchmark': 'measure speed side by side: presets and rivals',
}

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
    except BrokenPipeError:  # the reader of the output has left, as `head` does
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
            f'{place} cannot be written ({reason}), expected room on the disk; make some, or give '
            'an output on another disk'
        )

    return f'{place} cannot be used ({reason}), give another'


def _run(verb: str, argv: list[str]) -> int:
    # Here and not above: torch takes seconds, and `caldiff --help` needs none of it.
    import tyro

    module = importlib.import_module(f'caldiff_ros.cli.{verb.replace("-", "_")}')
    options = {'default': module.defaults(argv)} if hasattr(module, 'defaults') else {}
    arguments = tyro.cli(
        module.Arguments, args=argv, prog=f'caldiff {verb}', description=module.__doc__, **options
    )

    return module.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='caldiff',
        description='Where is this camera, in this radiance field? Global camera relocalization.',
        epilog='caldiff VERB --help explains a verb. First build-map, then localize.',
    )
    verbs = parser.add_subparsers(dest='verb', metavar='VERB', required=True)
    for verb, help_line in VERBS.items():
        verbs.add_parser(verb, help=help_line, add_help=False)

    return parser
