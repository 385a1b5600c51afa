"""What one poll of one campaign said, in the exporter's own words and in base units."""

from collections.abc import Mapping

from msgspec import Struct

ODD = 2**53
"""From here on a float is no exact count: such a number is shown as sent, and counts for nothing else."""


class Snapshot(Struct, frozen=True, gc=False):
    """
    The numbers of one campaign at the moment of one request.

    None means that the provider did not say, or said something that is no such number; it never means zero.
    Every number is finite and not negative; a number of things is an integer, unless it is 2**53 or more. Strings are
    the provider's own text, unbounded and unescaped.
    """

    status: str | None = None
    """The campaign's status in the provider's words."""
    name: str | None = None
    """The campaign's display name."""
    work_remaining: bool | None = None
    """Whether work is left: contacts pending or in progress (Anyreach), an open queue (OSVI)."""
    calls_in_flight: bool = False
    """Whether the answer shows any call or contact in progress; such a campaign is polled like an active one."""
    campaign_id: str | None = None
    """The provider's id of the campaign that the answer is about."""

    contacts: Mapping[str, float] | None = None
    """Contacts by lifecycle bucket (Anyreach `contacts`, without `total`)."""
    contacts_loaded: float | None = None
    """Contacts in all buckets (Anyreach `contacts.total`)."""
    attempts: float | None = None
    """Call attempts over all contacts (Anyreach `attempts.total`)."""
    attempts_per_contact: float | None = None
    """As sent (Anyreach `attempts.average_per_contact`)."""
    active_calls: float | None = None
    """Calls in flight, as sent; whether of the campaign or of the organization is not documented (Anyreach)."""
    concurrency_limit: float | None = None
    """The organization's cap on calls in flight (Anyreach)."""

    calls: Mapping[str, float] | None = None
    """Calls by outcome (OSVI `calls.by_status`); the known outcomes are 0 where the map came without them."""
    calls_made: float | None = None
    """Calls so far (OSVI `calls.total`)."""
    uploads: float | None = None
    """Number of contact uploads (OSVI)."""
    queues: Mapping[tuple[str, str], float] | None = None
    """Number of calling queues by (agent, "open" or "completed"); both states for each agent (OSVI)."""
    queued_contacts: Mapping[tuple[str, str], float] | None = None
    """Sum of `total_queued`, by the same pairs (OSVI)."""
    retry_enabled: float | None = None
    """1 or 0 (OSVI)."""
    retry_threshold: float | None = None
    """As sent; whether it counts retries or attempts is not documented (OSVI)."""
    retry_delay_seconds: float | None = None
    """Wait before a retry (OSVI)."""
    created_timestamp_seconds: float | None = None
    """Creation of the campaign, Unix time (OSVI)."""


CONTACT_BUCKETS = ("pending", "in_progress", "completed", "exhausted")
"""The documented buckets of `Snapshot.contacts`, in the order in which they are exported."""

CALL_OUTCOMES = ("picked", "not_picked", "failed", "busy", "voicemail")
"""The documented outcomes of a finished call in `Snapshot.calls`; 0 where the map came without them."""

CALLS_IN_PROGRESS = "in_progress"
"""The key of `Snapshot.calls` that is no outcome yet."""
