"""The cgroup limits that are in force for this process, of version 1, 2 or both at once. Stdlib only, Python 3.6 up.

Sources: https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/.
"""

import os
import re

__all__ = ["limits", "throttled"]

UNLIMITED = 2**60  # version 1 says "no limit" by a number near 2^63


def limits(tree):
    """Version, path, CPUs by quota, cpuset, bytes of memory, pids: the tightest from our group up to the root; None is no limit."""
    mounts, groups = _mounts(tree), _groups(tree)
    cpu, cpuset, memory, pids = (
        _folders(tree, mounts, groups, name) for name in ("cpu", "cpuset", "memory", "pids")
    )
    version = None if not mounts else 1 if "memory" in mounts or "cpu" in mounts else 2
    return {
        "version": version,
        "path": groups.get("memory" if version == 1 else ""),
        "cpu_quota": _tightest(_quota(tree, folder) for folder in cpu),
        "cpuset": next(filter(None, (_cpuset(tree, folder) for folder in cpuset)), None),
        "memory": _tightest(
            _limit(tree, folder, name)
            for folder in memory
            for name in ("memory.max", "memory.limit_in_bytes")
        ),
        "pids": _tightest(_limit(tree, folder, "pids.max") for folder in pids),
    }


def throttled(tree):
    """Periods in which our group was held back by its quota and the seconds it lost, since it was made."""
    for folder in _folders(tree, _mounts(tree), _groups(tree), "cpu"):
        found = dict(re.findall(r"^(\w+) (\d+)$", tree.text(folder + "/cpu.stat") or "", re.MULTILINE))
        if "nr_throttled" in found:
            seconds = int(found.get("throttled_usec", 0)) / 1e6 + int(found.get("throttled_time", 0)) / 1e9
            return {"periods": int(found["nr_throttled"]), "seconds": seconds}
    return None


def _mounts(tree):
    """Controller name -> (root of the mount, mount point); version 2 is the controller ``""``."""
    found = {}
    for line in (tree.text("proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if len(words) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2":
            found.setdefault("", (words[3], words[4]))
        elif kind[0] == "cgroup":
            for controller in kind[2].split(","):
                found.setdefault(controller, (words[3], words[4]))
    return found


def _groups(tree):
    """Controller name -> path of our group."""
    found = {}
    for line in (tree.text("proc/self/cgroup") or "").splitlines():
        words = line.split(":", 2)
        if len(words) == 3:
            for controller in words[1].split(","):
                found[controller] = words[2]
    return found


def _folders(tree, mounts, groups, controller):
    """Folders from our group up to the mount. In a container the path is often the host's and is not there: then the mount itself."""
    key = controller if controller in mounts else ""
    if key not in mounts:
        return []
    root, point = mounts[key]
    path = groups.get(key, "/")
    if root != "/" and (path + "/").startswith(root + "/"):
        path = path[len(root) :]
    parts = [part for part in path.split("/") if part]
    if ".." in parts or not tree.exists(os.path.join(point, *parts)):
        parts = []
    return [os.path.join(point, *parts[:length]) for length in range(len(parts), -1, -1)]


def _tightest(values):
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _limit(tree, folder, name):
    value = tree.number(folder + "/" + name)
    return None if value is None or value >= UNLIMITED else value


def _quota(tree, folder):
    words = (tree.text(folder + "/cpu.max") or "").split()
    if not words:
        words = [
            tree.text(folder + "/cpu.cfs_quota_us") or "",
            tree.text(folder + "/cpu.cfs_period_us") or "",
        ]
    if len(words) == 2 and all(re.match(r"\d+\Z", word) for word in words) and int(words[1]):
        return int(words[0]) / int(words[1])
    return None


def _cpuset(tree, folder):
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
        text = tree.text(folder + "/" + name)
        if text:
            return text
    return None
