"""The real machine: its hardware, its Pythons, its parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from archspec.cpu import host

from djed.config import Config
from djed.model.hardware import Interpreter, Node
from djed.model.request import HardwareRequirement
from djed.plan.match import match
from djed.run.hardware import detect
from djed.run.interpreters import find_interpreters
from djed.run.shim import hwinfo
from djed.toolbox.parts import find_uv, parts

SHIM = Path(hwinfo.__file__).parent


@pytest.fixture(scope="module")
def pythons() -> tuple[Interpreter, ...]:
    return find_interpreters(find_uv(Config()))


def test_agrees_with_archspec_about_this_machine() -> None:
    hardware = detect()
    assert hardware.microarchitecture == host().name
    assert set(hardware.compatible[1:]) == {ancestor.name for ancestor in host().ancestors}


def test_agrees_with_the_kernel_about_this_machine() -> None:
    hardware = detect()
    assert hardware.arch == os.uname().machine
    assert hardware.kernel == os.uname().release
    assert set(hardware.cpus) <= os.sched_getaffinity(0)
    assert 1 <= hardware.cores <= len(os.sched_getaffinity(0))
    assert hardware.memory is not None
    assert 2**27 < hardware.memory <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_affinity_is_what_jobs_may_use() -> None:
    code = (
        "import os, sys; cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu}); "
        "from djed.run.hardware import detect; found = detect(); print(found.cpus == (cpu,), found.cores)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SHIM.parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["True", "1"]


def test_this_machine_meets_its_own_description() -> None:
    here = detect()
    wanted = HardwareRequirement(
        arch=here.arch,
        microarchitecture=f"{here.microarchitecture}+" if here.microarchitecture else None,
        cpu_flags=here.cpu_flags,
        cores=here.cores,
        memory=here.memory,
        os=f"{here.os}>={here.os_version}" if here.os and here.os_version else None,
        kernel=f">={'.'.join((here.kernel or '').split('.')[:2])}",
    )
    found = match(wanted, [Node(id="here", target="local", hardware=here)])
    assert found.fits, found.reason


def test_record_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "popen", refuse)
    if not Path("/proc/driver/nvidia/version").exists():
        assert hwinfo.record()["platform"]["release"] == os.uname().release
    assert hwinfo.dynamic()["load"] is not None


@pytest.mark.needs("python3.6")
def test_the_shim_speaks_the_oldest_python_it_promises() -> None:
    oldest = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
    command = [str(oldest[0]) if oldest else "python3.6", "-I", "-S", str(SHIM / "hwinfo.py")]
    done = subprocess.run(command, capture_output=True, check=True)
    old, new = json.loads(done.stdout), hwinfo.record()
    assert old.keys() == new.keys()
    assert old["cpu_features"]["flags"] == new["cpu_features"]["flags"]


@pytest.mark.needs("uv")
def test_every_python_found_is_what_it_says(pythons: tuple[Interpreter, ...]) -> None:
    assert pythons
    for python in pythons:
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix == sys.base_prefix)"
        done = subprocess.run([python.path, "-I", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [".".join(python.version.split(".")[:2]), "True"]
        assert Path(python.path).resolve() == Path(python.path)
        assert Path(python.path).is_relative_to(python.prefix)


@pytest.mark.needs("uv")
def test_the_python_of_this_test_is_among_them(pythons: tuple[Interpreter, ...]) -> None:
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    found = find_interpreters(find_uv(Config()), [str(base)])
    assert str(base) in {python.path for python in found}
    assert {python.path for python in pythons} <= {python.path for python in found}


@pytest.mark.needs("uv", "bwrap")
def test_real_parts_are_present(pythons: tuple[Interpreter, ...]) -> None:
    found = {part.name: part for part in parts(Config(), interpreters=pythons)}
    assert found["uv"].present
    assert found["uv"].version
    assert found["bubblewrap"].present
    assert found["pythons"].present
