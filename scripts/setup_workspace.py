# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Set up this checkout: ``.venv`` with the dependencies, ``install`` with the built package.

With a ROS 2 distribution sourced the environment sees its packages and its colcon builds ours;
on a bare machine ROS and colcon come as wheels, those of ``--ros NAME``. Steps whose inputs did not
change are skipped. Other arguments are names of further optional dependencies of pyproject.toml,
such as ``baselines``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from ros_wheels import choose_wheels, ros_requirements

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
INSTALL = ROOT / 'install'
PYTHON = VENV / 'bin' / 'python'
#: Folders that colcon installs as links: only a new, renamed or deleted file asks for a build.
LINKED = ('caldiff_ros', 'config', 'demo', 'launch', 'maps')
#: Files that the build reads.
COMPILED = ('CMakeLists.txt', 'package.xml', 'action', 'msg', 'scripts')


def ros_distribution() -> str | None:
    """Name of the sourced ROS 2 distribution, None on a bare machine."""
    return os.environ.get('ROS_DISTRO') if shutil.which('ros2') else None


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command with its output shown on failure only; exit if it fails."""
    result = subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=env, capture_output=True, text=True
    )
    if result.returncode != 0:
        sys.exit(f'{result.stdout}{result.stderr}\nsetup failed in: {" ".join(map(str, command))}')
    return result.stdout


def digest(*parts: str | bytes) -> str:
    """Hash of texts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part if isinstance(part, bytes) else part.encode())
        sha.update(b'\0')
    return sha.hexdigest()


def files_under(*names: str) -> list[Path]:
    """All files of the given files and folders of the checkout, sorted, without caches."""
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        found += [path] if path.is_file() else [p for p in path.rglob('*') if p.is_file()]
    return sorted(p for p in found if '__pycache__' not in p.parts)


def up_to_date(stamp: Path, key: str) -> bool:
    """Whether a step was finished with the same inputs."""
    return stamp.is_file() and stamp.read_text() == key


def make_environment(distribution: str | None, wheels: str) -> None:
    """Create ``.venv``; again if it was made for another ROS."""
    sees_system = f'include-system-site-packages = {"true" if distribution else "false"}'
    made_for_it = distribution or installed_wheels() in (None, wheels)
    if PYTHON.exists() and made_for_it and sees_system in (VENV / 'pyvenv.cfg').read_text():
        return
    print(f'setup: making .venv with Python {sys.version.split()[0]}', flush=True)
    for folder in (ROOT / 'build' / 'caldiff_ros', INSTALL):  # of another interpreter
        shutil.rmtree(folder, ignore_errors=True)
    options = ['--clear'] + (['--system-site-packages'] if distribution else [])
    try:
        run(sys.executable, '-m', 'venv', *options, VENV)
    except SystemExit:  # a half-made one, as where python3-venv is missing, would look like one
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def installed_wheels() -> str | None:
    """Distribution whose wheels ``.venv`` has, None if it has none."""
    for metadata in VENV.glob('lib/python*/site-packages/ros_*_rclpy-*.dist-info'):
        return metadata.name.split('_')[1]
    return None


def read_project() -> dict:
    """Table ``project`` of pyproject.toml."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        from pip._vendor import tomli as tomllib
    return tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']


def _numpy_of_distribution() -> str:
    """The numpy that cv_bridge and the messages of the distribution were compiled against."""
    version = run(sys.executable, '-c', 'import numpy; print(numpy.__version__)').strip()
    return f'numpy<{int(version.split(".")[0]) + 1}'


def install_dependencies(distribution: str | None, wheels: str) -> None:
    """Install with pip what pyproject.toml asks for."""
    project = read_project()
    extras = project['optional-dependencies']
    wanted = project['dependencies'] + extras['figures'] + extras['ros-images']
    if distribution:
        wanted.append(_numpy_of_distribution())
    else:
        ros = extras['ros-wheels'] + extras['ros-build'] + extras['ros-linters']
        wanted += ros_requirements(ros, wheels)
    key = digest(distribution or 'wheels', *wanted, *extras['dev'])
    stamp = VENV / '.caldiff_dependencies'
    if up_to_date(stamp, key):
        return
    print('setup: installing the dependencies (several minutes the first time)', flush=True)
    run(PYTHON, '-m', 'pip', 'install', '--quiet', *wanted)
    # The pytest of a distribution would run with its Python, which does not see .venv.
    own = ['--ignore-installed'] if distribution else []
    run(PYTHON, '-m', 'pip', 'install', '--quiet', *own, *extras['dev'])
    if not distribution:
        repair_wheels()
    (VENV / 'COLCON_IGNORE').touch()
    stamp.write_text(key)


def repair_wheels() -> None:
    """Point the CMake files of the ROS wheels to this machine's headers of Python and numpy.

    They carry the folders of the machine that built the wheels.
    """
    include = sysconfig.get_paths()['include']
    if not (Path(include) / 'Python.h').is_file():
        sys.exit(
            f'setup failed: {include}/Python.h is missing, it is needed to build the ROS '
            'interfaces; install the development package of Python (python3-dev)'
        )
    numpy_include = run(PYTHON, '-c', 'import numpy; print(numpy.get_include())').strip()
    tag = f'cp{sys.version_info.major}{sys.version_info.minor}'
    prefix = f'/opt/python/{tag}-{tag}'
    python = f'python{sys.version_info.major}.{sys.version_info.minor}'
    replacements = {
        f'{prefix}/lib/{python}/site-packages/numpy/_core/include': numpy_include,
        f'{prefix}/lib/{python}/site-packages/numpy/core/include': numpy_include,
        f'{prefix}/include/{python}': include,
    }
    for path in VENV.glob('share/*/cmake/*.cmake'):
        text = repaired = path.read_text()
        for old, new in replacements.items():
            repaired = repaired.replace(old, new)
        if repaired != text:
            path.write_text(repaired)


def build(distribution: str | None) -> None:
    """Build and install the package with colcon where its inputs changed."""
    linked = [str(path.relative_to(ROOT)) for path in files_under(*LINKED)]
    compiled = [path.read_bytes() for path in files_under(*COMPILED)]
    key = digest(str(ROOT), distribution or 'wheels', *linked, *compiled)
    stamp = INSTALL / '.caldiff_built'
    if up_to_date(stamp, key):
        return
    print('setup: building the package with colcon', flush=True)
    shutil.rmtree(INSTALL, ignore_errors=True)  # links to deleted files would stay
    environment = dict(os.environ)
    if not distribution:
        environment['PATH'] = f'{VENV / "bin"}{os.pathsep}{environment["PATH"]}'
        environment['AMENT_PREFIX_PATH'] = environment['CMAKE_PREFIX_PATH'] = str(VENV)
    run(
        'colcon', 'build', '--merge-install', '--symlink-install', '--base-paths', ROOT,
        '--packages-select', 'caldiff_ros', '--cmake-force-configure',
        '--cmake-args', f'-DPython3_EXECUTABLE={PYTHON}', f'-DPYTHON_EXECUTABLE={PYTHON}',
        '-DBUILD_TESTING=OFF', env=environment,
    )  # fmt: skip
    link_into_environment()
    # what is compiled here need not be when the first map is loaded
    compile_kernels = (
        'import torch; from caldiff_ros.localization.warm_up import warm_up; '
        'warm_up(torch.device("cpu"))'
    )
    run(PYTHON, '-c', compile_kernels)
    stamp.write_text(key)


def link_into_environment() -> None:
    """Make the installed package importable in ``.venv`` and ``caldiff`` one of its commands."""
    package = next(INSTALL.glob('**/caldiff_ros/__init__.py')).parent
    site_packages = run(
        PYTHON, '-c', 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
    ).strip()
    (Path(site_packages) / 'caldiff_ros.pth').write_text(f'{package.parent}\n')
    command = VENV / 'bin' / 'caldiff'
    command.unlink(missing_ok=True)
    command.symlink_to(INSTALL / 'bin' / 'caldiff')


def check_machine(distribution: str | None) -> None:
    """Exit with a sentence where the setup cannot succeed."""
    version = sys.version.split()[0]
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever runs this may have any Python
        sys.exit(f'setup failed: Python {version} is too old; use 3.10 or newer, make PYTHON=...')
    machine = platform.machine()
    if not distribution and (machine not in ('x86_64', 'AMD64') or sys.version_info >= (3, 14)):
        sys.exit(
            f'setup failed: this is Python {version} on {machine}, and ROS 2 wheels exist only for '
            'Python 3.10 to 3.13 on x86-64; source a ROS 2 distribution or use make PYTHON=...'
        )


def main() -> None:
    """Do every step that is needed."""
    parser = argparse.ArgumentParser(description='Set up this checkout.')
    parser.add_argument('--ros', default='', help='distribution of the ROS wheels')
    parser.add_argument('extras', nargs='*', help='further optional dependencies')
    arguments = parser.parse_args()

    distribution = ros_distribution()
    check_machine(distribution)
    try:
        wheels = choose_wheels(arguments.ros, distribution, installed_wheels())
    except ValueError as error:
        sys.exit(f'setup failed: {error}')

    make_environment(distribution, wheels)
    install_dependencies(distribution, wheels)
    build(distribution)
    for extra in arguments.extras:
        print(f'setup: installing the extra {extra}', flush=True)
        run(
            PYTHON,
            '-m',
            'pip',
            'install',
            '--quiet',
            *read_project()['optional-dependencies'][extra],
        )


if __name__ == '__main__':
    main()
