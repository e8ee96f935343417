"""The record of a machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from djed.run.shim import hwcpu, hwinfo

HAS = (
    "3dnow", "3dnowext", "Altivec", "f00f_bug", "fdiv_bug", "mmx", "sse", "sse2", "sse3", "ssse3",
)  # fmt: skip
IS = (
    "32bit", "64bit", "AMD", "AMD64", "Alpha", "Athlon64", "AthlonHX", "AthlonK6", "AthlonK6_2", "AthlonK6_3", "AthlonK7",
    "AthlonMP", "Celeron", "Core2", "EV4", "EV5", "EV56", "Hammer", "Intel", "Itanium", "Nocona", "Opteron", "PCA56", "Pentium",
    "PentiumII", "PentiumIII", "PentiumIV", "PentiumM", "PentiumMMX", "PentiumPro", "Power", "Power7", "Power8", "Power9",
    "Prescott", "XEON", "Xeon", "i386", "i486", "i586", "i686", "singleCPU",
)  # fmt: skip

# Key -> types it may have besides null, as older readers expect them.
AMUN: dict[str, dict[str, type]] = {
    "cpu_features": {
        "flags": list,
        "hz_actual": list,
        "hz_actual_raw": list,
        "hz_advertised": list,
        "hz_advertised_raw": list,
        "l1_data_cache_size": int,
        "l1_instruction_cache_size": int,
        "l2_cache_size": int,
        "l3_cache_size": int,
    },
    "cpu_info": {
        "arch": str,
        "arch_string_raw": str,
        "bits": int,
        "brand_raw": str,
        "count": int,
        "cpuinfo_version": list,
        "cpuinfo_version_string": str,
        "family": int,
        "hz_actual_friendly": str,
        "hz_advertised_friendly": str,
        "l2_cache_associativity": int,
        "l2_cache_line_size": int,
        "model": int,
        "stepping": int,
        "vendor_id_raw": str,
    },
    "cpu_type": {
        **{f"has_{name}": bool for name in HAS},
        **{f"is_{name}": bool for name in IS},
        "nbits": str,
        "ncpus": int,
        "not_impl": type(None),
        "try_call": type(None),
    },
    "platform": {
        "architecture": list,
        "machine": str,
        "node": str,
        "platform": str,
        "processor": str,
        "release": str,
        "version": str,
    },
}


@pytest.fixture(params=["xeon", "altra", "bare", "here"])
def record(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The record of each machine."""
    root = "/" if request.param == "here" else request.getfixturevalue(request.param)
    found: dict[str, Any] = hwinfo.record(root)
    return found


def test_has_every_key_of_the_older_record_with_its_type(record: dict[str, Any]) -> None:
    for block, keys in AMUN.items():
        for key, kind in keys.items():
            value = record[block][key]
            assert value is None or type(value) is kind, (block, key)


def test_is_json(record: dict[str, Any]) -> None:
    assert json.loads(json.dumps(record)) == record


def test_has_the_same_keys_on_every_machine(record: dict[str, Any]) -> None:
    assert {**hwinfo.record(), **record}.keys() == record.keys()


def test_processor(xeon: str) -> None:
    record = hwinfo.record(xeon)
    info = record["cpu_info"]
    assert (info["vendor_id_raw"], info["family"], info["model"], info["stepping"]) == (
        "GenuineIntel",
        6,
        85,
        4,
    )
    assert (info["arch"], info["bits"], info["count"], info["hz_advertised_friendly"]) == (
        "X86_64",
        64,
        8,
        "2.6000 GHz",
    )
    assert record["cpu_features"]["hz_actual"] == [3_100_125_000, 0]
    assert record["cpu_features"]["l2_cache_size"] == 2**20
    assert record["microcode"] == "0x2006e05"


def test_processor_type(xeon: str) -> None:
    kind = hwinfo.record(xeon)["cpu_type"]
    assert {name for name, value in kind.items() if value is True} == {
        "has_mmx",
        "has_sse",
        "has_sse2",
        "has_sse3",
        "has_ssse3",
        "is_64bit",
        "is_Intel",
        "is_Xeon",
        "is_i686",
    }
    assert (kind["nbits"], kind["ncpus"]) == ("64", 8)


def test_arm_processor(altra: str) -> None:
    record = hwinfo.record(altra)
    info = record["cpu_info"]
    assert (info["arch"], info["vendor_id_raw"], info["family"], info["model"], info["stepping"]) == (
        "ARM_8",
        "ARM",
        8,
        0xD0C,
        1,
    )
    assert record["topology"] | {"cpus": 4} == {
        "sockets": 1,
        "cores": 4,
        "threads": 4,
        "threads_per_core": 1,
        "cpus": 4,
    }
    assert record["libc"] == {"name": "musl", "version": None}
    assert record["cpu_features"]["hz_advertised"] == [3_000_000_000, 0]


def test_topology_counts_cores_of_every_socket(xeon: str) -> None:
    topology = hwinfo.record(xeon)["topology"]
    assert (topology["sockets"], topology["cores"], topology["threads_per_core"]) == (2, 4, 2)
    assert topology["cpus"][3] == {"cpu": 3, "core": 1, "socket": 1}


def test_memory_and_pages_are_bytes(xeon: str) -> None:
    record = hwinfo.record(xeon)
    assert record["memory"] == {
        "total": 1_024_000,
        "available": 614_400,
        "swap_total": 51_200,
        "swap_free": 40_960,
        "cgroup_limit": 524_288,
    }
    assert record["hugepages"] == {"transparent": "madvise", "total": 3, "free": 1, "size": 2**21}
    assert record["numa"] == [
        {"node": 0, "cpus": "0-3", "memory": 512_000, "free": 51_200, "distances": [10, 21]}
    ]


def test_only_kernel_parameters_that_change_timings_are_kept(xeon: str) -> None:
    kernel = hwinfo.record(xeon)["kernel"]
    assert kernel["parameters"] == ["mitigations=off", "nosmt", "isolcpus=2-3"]
    assert kernel["vulnerabilities"] == {"meltdown": "Mitigation: PTI"}


def test_system(xeon: str) -> None:
    record = hwinfo.record(xeon)
    assert record["os_release"] == {"name": "Rocky Linux", "id": "rocky", "version_id": "9.4"}
    assert record["platform"]["node"] == "node7"
    assert record["virtualization"]["vendor"] == "kvm"
    assert record["frequency"]["turbo"] is False
    assert record["load"] == [0.5, 1.25, 2.0]


@pytest.mark.parametrize(
    ("file", "kind"),
    [("run/.containerenv", "podman"), (".dockerenv", "docker"), ("run/systemd/container", "lxc")],
)
def test_container_is_named(grow: Any, file: str, kind: str) -> None:
    assert hwinfo.record(grow({file: "lxc\n"}))["virtualization"]["container"] == kind


def test_nothing_known_is_null_not_a_guess(bare: str) -> None:
    record = hwinfo.record(bare)
    assert record["memory"] == dict.fromkeys(record["memory"])
    assert record["frequency"] == dict.fromkeys(record["frequency"])
    assert record["os_release"] is record["load"] is record["clocksource"] is None
    assert record["cpu_info"]["family"] is None


def test_conditions_of_the_moment(xeon: str) -> None:
    now = hwinfo.dynamic(xeon)
    assert now["frequency"] == {
        "governor": "performance",
        "turbo": False,
        "low": 1_000_000_000,
        "mean": 2_000_000_000,
        "high": 3_000_000_000,
    }
    assert now["throttled"] == {"periods": 7, "seconds": 0.25}
    assert now["pressure"] == {"cpu": 1.5, "memory": None, "io": None}
    assert now["memory_available"] == 614_400
    assert now["steal"] == pytest.approx(2.5)


def test_conditions_fall_back_to_cpuinfo(grow: Any) -> None:
    root = grow({"proc/cpuinfo": "processor : 0\ncpu MHz : 1500.0\n"})
    assert hwinfo.dynamic(root)["frequency"]["mean"] == 1_500_000_000


def test_unreadable_is_missing(grow: Any) -> None:
    root = grow(
        {"proc/meminfo": "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "proc/loadavg": "x"}
    )
    record = hwinfo.record(root)
    assert record["memory"]["total"] is None
    assert record["load"] is None


@pytest.mark.parametrize(
    ("text", "expected"), [("0-2,5", [0, 1, 2, 5]), ("", []), (None, []), ("a-b", []), ("3", [3])]
)
def test_cpu_lists(text: str | None, expected: list[int]) -> None:
    assert hwcpu.numbers(text) == expected
