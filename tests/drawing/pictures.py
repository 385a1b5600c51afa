"""
Draws every dashboard in every situation: `make pictures`, which writes to `out/`.

Needs Prometheus and Chromium of Debian. Beside each picture stands the text of what was drawn.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.drawing.browser import drawing
from tests.drawing.database import DASHBOARDS, make_blocks
from tests.drawing.situations import SITUATIONS, THEMES, WIDTHS, view

OUT = Path(__file__).parent / "out"


async def main(dashboards: Path) -> None:
    """Record, evaluate, serve, draw."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        await asyncio.to_thread(make_blocks, directory, dashboards)
        async with drawing(directory, dashboards) as drawer:
            for theme in THEMES:
                for width in WIDTHS:
                    for situation in SITUATIONS:
                        file = OUT / f"{situation}-{theme}-{width}.png"
                        dump = await drawer.draw(view(situation, theme, width), file)
                        file.with_suffix(".json").write_text(json.dumps(dump, indent=1), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DASHBOARDS))
