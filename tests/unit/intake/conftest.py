"""Doors into intake that answer with faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.errors import Fault, RequestError
from djed.intake import Submission, read_file, read_mapping

Faults = tuple[Fault, ...]


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def faults(config: Config) -> Callable[[Mapping[str, Any]], Faults]:
    """The faults of a mapping; none where it is accepted."""

    def find(data: Mapping[str, Any]) -> Faults:
        try:
            read_mapping(data, config=config)
        except RequestError as error:
            return error.faults
        return ()

    return find


@pytest.fixture
def fold(config: Config, tmp_path: Path) -> Callable[..., Submission]:
    """The submission of a request that names the first of the given files as its requirements."""

    def submit(named: str, files: Mapping[str, str], **environment: Any) -> Submission:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        data = {"environment": {"requirements": named, **environment}}
        return read_mapping(data, config=config, folder=tmp_path)

    return submit


@pytest.fixture
def fold_faults(fold: Callable[..., Submission]) -> Callable[..., list[str]]:
    """Messages of what is wrong with a requirements file."""

    def find(named: str, files: Mapping[str, str], **environment: Any) -> list[str]:
        with pytest.raises(RequestError) as caught:
            fold(named, files, **environment)
        return [fault.message for fault in caught.value.faults]

    return find


@pytest.fixture
def read_text(config: Config, tmp_path: Path) -> Callable[[str, str], Submission]:
    """The submission of a request file with that text."""

    def read(name: str, text: str) -> Submission:
        path = tmp_path / name
        path.write_text(text)
        return read_file(path, config=config)

    return read
