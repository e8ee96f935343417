"""One attempt in one job directory: start it at most once, write its result last and atomically.

Files, in order of appearance: ``job.json`` (written by the runner), ``lock`` (held as long as this process lives), ``started`` (process id
and start time, written under the lock), ``stdout``, ``stderr``, ``hwinfo.json``, ``result.json``. A file ``cancel`` says that a SIGTERM
means cancel.
"""

import fcntl
import json
import os
import signal
import sys

import engine
import supervise

RESERVED = 64 * 1024  # bytes kept free for result.json, so that a full disk cannot swallow the result


def main(directory):
    """Supervise the attempt in ``directory``; the exit status is 0 unless the shim itself broke."""
    # As soon as ``started`` is there, a cancel may come; it waits until the loop can take it.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})
    os.chdir(directory)
    close_inherited()
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A second shim waits here, and then finds that all is done: it never competes with the first one.
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.path.exists("started") or os.path.exists("result.json"):
        return 0
    with open("job.json", encoding="utf-8") as file:
        order = json.load(file)
    write_atomically("started", ("%d %d\n" % (os.getpid(), start_time("self"))).encode())
    reserve = os.open("result.tmp", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(reserve, 0, RESERVED)
    except OSError:
        pass  # not every file system can; then a full disk makes the attempt lost
    result = supervised(order)
    if result is None:
        return 0  # told to stop, but not by a cancel: the attempt is lost, and the engine decides
    result["hostname"] = os.uname().nodename
    result["node"] = order["node"]
    finish(reserve, result)
    if order["speaks"] == "engine":
        engine.linger(supervise.descendants)
    return 0


def supervised(order):
    """What result.json says, ``None`` for an attempt that is given up. Its secrets are taken away before anybody hears that it is over."""
    if not order.get("secrets"):
        return supervise.supervise(order, lambda: record_hardware(order))
    from secretfiles import Secrets  # most jobs have none

    secrets = Secrets(order)
    try:
        return supervise.supervise(order, lambda: record_hardware(order), secrets)
    finally:
        secrets.remove()


def close_inherited():
    """Close all descriptors but the standard ones: what we hold open, others cannot free."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself


def start_time(pid):
    """Start of a process in clock ticks since boot (field 22 of proc(5) stat); with the id it names one process for ever."""
    with open("/proc/%s/stat" % pid, "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def write_atomically(name, data):
    """Write a file that is either complete or not there."""
    fd = os.open(name + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)
    os.rename(name + ".tmp", name)


def record_hardware(order):
    """Write ``hwinfo.json``: what the node is (taken once per boot) and, under ``conditions``, how it is right now."""
    import hwinfo  # slow to import: the command is running by now

    try:
        record = remembered(order["hardware"]) or hwinfo.record()
        record["conditions"] = hwinfo.dynamic()
        write_atomically("hwinfo.json", json.dumps(record).encode())
    except (OSError, ValueError) as error:
        sys.stderr.write("hwinfo: %s\n" % error)  # a missing record must not cost the measurement


def remembered(path):
    """The record that the runner keeps in the file ``path``, where it is of this boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot, open(path, encoding="utf-8") as file:
            node = json.load(file)
            return node["record"] if node["boot_id"] == boot.read().strip() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finish(reserve, result):
    """Write ``result.json``: durable before it is visible."""
    data = json.dumps(result).encode()
    os.pwrite(reserve, data, 0)
    os.ftruncate(reserve, len(data))
    os.fsync(reserve)
    os.rename("result.tmp", "result.json")
