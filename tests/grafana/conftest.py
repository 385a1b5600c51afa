import json
from pathlib import Path
from typing import Any

import pytest

DASHBOARDS = Path(__file__).parents[2] / "grafana" / "dashboards"


@pytest.fixture
def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards as they are shipped, by the stem of their file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}
