"""How long work shares the event loop with everything else."""

import asyncio
import time


class Turns:
    """
    Splits long work into turns of some seconds, between which the event loop runs what else is ready.

    Call `give_way` after each piece of the work, which has to be much shorter than a turn; it is cheap.
    """

    def __init__(self, seconds: float = 0.001) -> None:
        self._seconds = seconds
        self._ends = time.perf_counter() + seconds

    async def give_way(self) -> None:
        """Let others run, if this turn is over."""
        if time.perf_counter() >= self._ends:
            await asyncio.sleep(0)
            self._ends = time.perf_counter() + self._seconds
