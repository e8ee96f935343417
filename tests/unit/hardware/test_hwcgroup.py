"""Limits of cgroups, of version 1, 2 and both at once."""

from __future__ import annotations

from typing import Any

from djed.run.shim import hwcgroup, hwinfo

V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
GROUPS = "5:memory:/docker/abc\n4:cpu,cpuacct:/jobs\n0::/\n"


def limits(root: str) -> dict[str, Any]:
    found: dict[str, Any] = hwcgroup.limits(hwinfo.Tree(root))
    return found


def test_version_2_takes_the_tightest_up_to_the_root(xeon: str) -> None:
    assert limits(xeon) == {
        "version": 2,
        "path": "/kubepods/pod1",
        "cpu_quota": 2.5,
        "cpuset": "0-3",
        "memory": 524_288,
        "pids": 99,
    }


def test_version_1_beside_an_empty_version_2(grow: Any) -> None:
    root = grow(
        {
            "proc/self/mountinfo": V1.format(root="/"),
            "proc/self/cgroup": GROUPS,
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "4096\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )
    found = limits(root)
    assert (found["version"], found["path"], found["cpu_quota"], found["memory"]) == (
        1,
        "/docker/abc",
        1.5,
        4096,
    )


def test_group_of_the_host_seen_from_inside_a_container(grow: Any) -> None:
    root = grow(
        {
            "proc/self/mountinfo": V1.format(root="/docker/abc"),
            "proc/self/cgroup": GROUPS,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "8192\n",
        }
    )
    assert limits(root)["memory"] == 8192


def test_no_limit_is_none(grow: Any) -> None:
    root = grow(
        {
            "proc/self/mountinfo": V1.format(root="/"),
            "proc/self/cgroup": GROUPS,
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )
    found = limits(root)
    assert found["cpu_quota"] is found["memory"] is found["pids"] is None


def test_path_that_climbs_out_of_the_mount_is_not_followed(grow: Any) -> None:
    root = grow(
        {
            "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "proc/self/cgroup": "0::/../../../elsewhere\n",
            "elsewhere/memory.max": "1\n",
            "sys/fs/cgroup/memory.max": "2\n",
        }
    )
    assert limits(root)["memory"] == 2


def test_no_cgroups_at_all(bare: str) -> None:
    found = limits(bare)
    assert found == dict.fromkeys(found)
