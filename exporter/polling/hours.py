"""The calling hours that are followed by the wall clock, shared by all accounts."""

from collections.abc import Callable
from weakref import WeakValueDictionary

from exporter.campaign.labels import MAX_VALUES
from exporter.campaign.schedule import Hours, Schedule


class HoursWatch:
    """
    One `Hours` for each schedule, however many campaigns have it.

    Windows open and close by the wall clock, which can be set. A timer for the next change would then be wrong;
    a check every second is right, and costs nothing with the few schedules that there are.

    Args:
        wall: Unix time by which windows open and close.
        on_overflow: Called for each timezone that has no label of its own.
    """

    def __init__(self, wall: Callable[[], float], on_overflow: Callable[[], None] = lambda: None) -> None:
        self.around_the_clock = Hours(None, 0.0)
        self._wall = wall
        self._on_overflow = on_overflow
        self._known: WeakValueDictionary[Schedule, Hours] = WeakValueDictionary()

    def of(self, schedule: Schedule) -> Hours:
        """The hours of a schedule; equal schedules share them."""
        hours = self._known.get(schedule)
        if hours is None:
            hours = self._known[schedule] = Hours(schedule, self._wall())
            for _ in range(len(schedule.zones) - MAX_VALUES):
                self._on_overflow()
        return hours

    def refresh(self) -> frozenset[Hours]:
        """Read the clock, and return the hours in which a timezone has opened or closed since it was read last."""
        wall = self._wall()
        return frozenset(hours for hours in tuple(self._known.values()) if hours.refresh(wall))
