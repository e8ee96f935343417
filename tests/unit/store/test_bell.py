"""Wake-ups between threads and processes."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

from djed.toolbox.bell import Bell, alive, bury, dead, ring


def test_a_ring_before_the_wait_is_not_lost(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    ring(tmp_path)
    assert bell.wait(60) == set()
    bell.close()


def test_every_bell_of_the_folder_is_rung(tmp_path: Path) -> None:
    bells = [Bell(tmp_path) for _ in range(3)]
    waiting = [threading.Thread(target=bell.wait, args=(60,)) for bell in bells]
    for thread in waiting:
        thread.start()
    ring(tmp_path)
    for thread in waiting:
        thread.join(10)
    assert not any(thread.is_alive() for thread in waiting)
    for bell in bells:
        bell.close()


def test_a_readable_descriptor_ends_the_wait_and_is_named(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    read, write = os.pipe()
    os.write(write, b"x")
    assert bell.wait(60, [read]) == {read}
    os.close(read)
    os.close(write)
    bell.close()


def test_nothing_is_left_of_a_bell_that_was_closed(tmp_path: Path) -> None:
    Bell(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_without_a_reader_is_removed_by_who_rings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gone.bell")
    ring(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_dead_are_known_by_the_lock_they_lost(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    (tmp_path / "gone.lock").touch()
    assert dead(tmp_path) == ["gone"]
    bury(tmp_path, "gone")
    assert dead(tmp_path) == []
    bell.close()


def test_the_living_are_those_that_hold_their_lock(tmp_path: Path) -> None:
    assert alive(tmp_path) == []
    bell = Bell(tmp_path)
    (tmp_path / "gone.lock").touch()
    assert alive(tmp_path) == [bell.name]
    bell.close()


def test_a_ring_is_told_from_a_descriptor_and_from_time(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    read, write = os.pipe()
    os.write(write, b"x")
    assert bell.wait(0, [read]) == {read}
    assert not bell.rung
    bell.ring()
    assert bell.wait(0, [read]) == {read}
    assert bell.rung
    bell.wait(0)
    assert not bell.rung
    bell.close()
    os.close(read)
    os.close(write)


def test_to_ring_where_nobody_ever_waited_is_harmless(tmp_path: Path) -> None:
    ring(tmp_path / "nothing")


def test_who_makes_a_change_is_not_woken_by_it(tmp_path: Path) -> None:
    mine, other = Bell(tmp_path), Bell(tmp_path)
    ring(tmp_path, but=mine.name)
    assert select.select([mine._pipe, other._pipe], [], [], 0)[0] == [other._pipe]
    mine.close()
    other.close()
