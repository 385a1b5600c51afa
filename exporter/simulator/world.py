"""A simulated world: customers of both providers and their credentials, on one timeline."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import NamedTuple

from exporter.simulator.anyreach_dialer import Organization, random_uuid
from exporter.simulator.osvi_dialer import OsviAccount
from exporter.simulator.timeline import Timeline

_INDIA = timezone(timedelta(hours=5, minutes=30))


class Credential(NamedTuple):
    """What an Anyreach token reaches, and the routes that are answered with 403 all the same."""

    organization: Organization
    refused: Collection[str]


class World:
    """
    Everything behind the two simulated APIs.

    It advances when it is asked: by a request, by one of its own methods, or by `advance_to`. The same seed and the
    same doings at the same moments give the same world.

    Moments in answers are mapped back to real time: what lies so many simulated seconds apart is sent as that many
    divided by `speed` apart, as are the durations, so that a reader with an ordinary clock sees them fit together.
    The moment at which the world was made is sent as it is.

    Args:
        clock: Simulated Unix time, in seconds.
        seed: Of all that is left to chance.
        speed: Simulated seconds in one of the reader's.
        history: Simulated seconds before now at which it begins; they pass with the first advance.
    """

    def __init__(self, clock: Callable[[], float], *, seed: int = 1, speed: float = 1.0, history: float = 0.0) -> None:
        self._clock = clock
        self._speed = speed
        self._epoch = clock()
        self.timeline = Timeline(self._epoch - history, clock)
        self.request_luck = Random(f"{seed} requests")
        """Kept apart from the dialers', so that requests do not change what happens."""
        self._random = Random(f"{seed} calls")
        self._ids = Random(f"{seed} ids")
        self.organizations: list[Organization] = []
        self._credentials: dict[str, Credential] = {}
        self._osvi_accounts: dict[str, OsviAccount] = {}
        self._revoked: set[str] = set()

    @property
    def now(self) -> float:
        """The simulated Unix time up to which everything has happened."""
        return self.timeline.now

    def advance(self) -> None:
        """Let everything happen up to the clock."""
        self.timeline.advance_to(self._clock())

    def advance_to(self, moment: float) -> None:
        """Let everything happen up to a simulated Unix time."""
        self.timeline.advance_to(moment)

    def add_organization(self, *, limit: int = 10) -> Organization:
        """Make an Anyreach organization with no campaigns, and no token yet."""
        # Creation times are sent with milliseconds, and no two campaigns of an organization may share one.
        step = self._speed / 500
        organization = Organization(self.timeline, random_uuid(self._ids), limit, self._random, self._ids, step)
        self.organizations.append(organization)
        return organization

    def grant(self, token: str, organization: Organization, *, refused: Collection[str] = ()) -> None:
        """Make an `ak_` or `pat_` token valid, but for routes among `campaigns`, `configurations` and `contacts`."""
        self._credentials[token] = Credential(organization, refused)

    def add_osvi_account(self, token: str) -> OsviAccount:
        self._osvi_accounts[token] = OsviAccount(self.timeline, self._random, token)
        return self._osvi_accounts[token]

    def revoke(self, token: str) -> None:
        self._revoked.add(token)

    def restore(self, token: str) -> None:
        self._revoked.discard(token)

    def credential(self, token: str) -> Credential | None:
        """What an Anyreach token may do, None for one that is unknown or revoked."""
        return None if token in self._revoked else self._credentials.get(token)

    def osvi_account(self, token: str) -> OsviAccount | None:
        """The account of an OSVI token, None for one that is unknown or revoked."""
        return None if token in self._revoked else self._osvi_accounts.get(token)

    def sent_duration(self, seconds: float) -> int:
        """A simulated duration as it is sent: in the reader's seconds, whole and not 0."""
        return max(1, round(seconds / self._speed))

    def sent_moment(self, moment: float) -> str:
        """A simulated moment as Anyreach sends it: ISO 8601 with milliseconds, in UTC."""
        return self._real(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def sent_indian_moment(self, moment: float) -> str:
        """A simulated moment as OSVI sends it: ISO 8601 with seconds, at +05:30."""
        return self._real(moment).astimezone(_INDIA).isoformat(timespec="seconds")

    def _real(self, moment: float) -> datetime:
        return datetime.fromtimestamp(self._epoch + (moment - self._epoch) / self._speed, UTC)
