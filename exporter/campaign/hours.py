"""What is known of calling hours, kept true as time goes by."""

from collections.abc import Callable
from weakref import WeakValueDictionary

from exporter.campaign.schedule import Schedule
from exporter.campaign.state import Hours


class HoursWatch:
    """
    One `Hours` for each schedule, however many campaigns have it.

    Windows open and close by the wall clock, which can be set: looking at it every second is right then, too, where
    a timer for the next change would not be, and costs nothing with the few schedules that there are.

    Args:
        wall: Unix time by which windows open and close.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self.around_the_clock = Hours(None, 0.0)
        self._wall = wall
        self._known: WeakValueDictionary[Schedule, Hours] = WeakValueDictionary()

    def of(self, schedule: Schedule) -> Hours:
        """Give the hours of a schedule; equal schedules share them."""
        hours = self._known.get(schedule)
        if hours is None:
            hours = self._known[schedule] = Hours(schedule, self._wall())
        return hours

    def refresh(self) -> frozenset[Hours]:
        """Look at the clock, and tell the hours in which a timezone has opened or closed since the last look."""
        wall = self._wall()
        return frozenset(hours for hours in tuple(self._known.values()) if hours.refresh(wall))
