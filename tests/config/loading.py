"""Configurations as a test writes them, loaded or refused."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.flags import FlagParser, add_flags
from exporter.config.model import Settings
from exporter.config.section import ConfigurationError
from exporter.config.sources import load

OSVI = {"name": "acme", "provider": "osvi", "token": "t", "campaigns": [{"id": 7}]}
ACCOUNTS = yaml.safe_dump({"accounts": [OSVI]})
BARE = Settings.model_validate({"accounts": [OSVI]})
"""The defaults."""


def parse(*flags: str) -> argparse.Namespace:
    parser = FlagParser(prog="campaign-exporter")
    add_flags(parser)
    return parser.parse_args(flags)


def read(
    tmp_path: Path, file: Any = None, *, environ: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Settings:
    """Load a file (text, or values, with an account where they have none) with only these variables and flags."""
    path = tmp_path / "campaign-exporter.yml"
    if not isinstance(file, str):
        file = (yaml.safe_dump(file) if file else "") + ("" if "accounts" in (file or {}) else ACCOUNTS)
    path.write_text(file, encoding="utf-8")
    return load(parse(f"--config.file={path}", *flags), environ=environ or {})


def faults(
    tmp_path: Path, file: Any = None, *, environ: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, file, environ=environ, flags=flags)
    return [fault.replace(f"{tmp_path}/", "") for fault in caught.value.faults]
