"""The shipped rules and routes on a faster clock, with nothing but their durations changed."""

import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(
    r"(?P<before>\[|\b(?:for|keep_firing_for|group_wait|group_interval|repeat_interval|"
    r"scrape_interval|evaluation_interval): )(?P<number>\d+)(?P<unit>[smhd])\b"
)
SECONDS = re.compile(r"\b(?P<number>\d+) \* (?P<unit>60|3600)\b")


def scaled(text: str, speed: float) -> str:
    """
    Divide every duration of a rules file, an alertmanager.yml or a prometheus.yml.

    Seconds inside expressions are found by their spelling, a product with 60 or 3600.

    Args:
        speed: How many times faster; 60 makes a minute a second.
    """

    def shortened(found: re.Match[str]) -> str:
        milliseconds = int(found["number"]) * UNITS[found["unit"]] * 1000 / speed
        return f"{found['before']}{max(1, round(milliseconds))}ms"

    text = DURATION.sub(shortened, text)
    return SECONDS.sub(lambda found: f"{int(found['number']) * int(found['unit']) / speed:g}", text)
