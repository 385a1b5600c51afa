"""
The call log of a simulated OSVI account: every call of its campaigns, in the order in which they began.

See https://docs.osvi.ai/api-reference/endpoint/list_calls. What an answer shows of a call beyond its moments and its
outcome (id, numbers, tag) follows from its place in the log, so nothing of it is kept.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

MOST_CALLS = 50_000
"""Calls that the log holds; older ones are dropped."""

_TAGS = ("interested", "not interested", "call back", None)
_END_REASONS = {
    "picked": ("assistant-ended-call", "customer-ended-call", "customer-ended-call"),
    "not_picked": ("customer-did-not-answer",),
    "busy": ("customer-busy",),
    "voicemail": ("voicemail",),
    "failed": ("call-start-error", "twilio-failed-to-connect-call"),
}


@dataclass(slots=True, eq=False)
class Call:
    """One call; moments are Unix time, `status` is its outcome once it has ended."""

    number: int
    campaign_id: int
    agent_uuid: str | None
    call_type: str
    began_at: float
    status: str = "in_progress"
    ended_at: float | None = None


class CallLog:
    """The calls of one account."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self._made = 0

    def begin(self, campaign_id: int, agent_uuid: str | None, call_type: str, now: float) -> Call:
        """Add a call that begins now."""
        call = Call(self._made, campaign_id, agent_uuid, call_type, now)
        self._made += 1
        self._calls.append(call)
        return call

    def newest_first(self) -> Iterator[Call]:
        return reversed(self._calls)

    def describe(
        self, call: Call, moment: Callable[[float], str], seconds: Callable[[float], int]
    ) -> dict[str, object]:
        """
        Show a call as the list does.

        Args:
            moment: Writes a Unix time as it is sent.
            seconds: Turns a duration into the one that is sent.
        """
        digest = blake2b(f"{self._account} {call.number}".encode(), digest_size=16).digest()
        picked = call.status == "picked"
        reasons = _END_REASONS.get(call.status, ())
        tag = digest[0] % len(_TAGS)
        return {
            "call_id": str(UUID(bytes=digest, version=4)),
            "agent_uuid": call.agent_uuid,
            "agent_name": "Meera",
            "phone_number": f"+9199{call.number % 100_000_000:08}",
            "from_number": "+918000000000",
            "status": call.status,
            "call_type": call.call_type,
            "duration_seconds": seconds(call.ended_at - call.began_at) if picked and call.ended_at else 0,
            "call_ended_by": "agent" if reasons and digest[1] % 2 else None,
            "call_ended_reason": reasons[digest[1] % len(reasons)] if reasons else None,
            "campaign_id": call.campaign_id,
            "campaign_upload_id": None,
            "tag": {"id": tag, "name": _TAGS[tag], "color_code": "#22c55e"} if picked and _TAGS[tag] else None,
            "created_at": moment(call.began_at),
            "call_picked_at": moment(call.began_at + 4) if picked else None,
        }
