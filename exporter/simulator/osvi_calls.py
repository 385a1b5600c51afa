"""
Calls of a simulated OSVI account, as its call log shows them.

See https://docs.osvi.ai/api-reference/endpoint/list_calls. What an answer shows of a call beyond its moments and its
outcome (id, numbers, tag) follows from its account and its number there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

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
    """One call, known by its account and its number there; moments are Unix time."""

    account: str
    number: int
    campaign_id: int
    agent_uuid: str | None
    call_type: str
    began_at: float
    status: str = "in_progress"
    ended_at: float | None = None


def describe(call: Call, moment: Callable[[float], str], seconds: Callable[[float], int]) -> dict[str, object]:
    """Show a call as the list does; the functions write a Unix time and a duration as they are sent."""
    digest = blake2b(f"{call.account} {call.number}".encode(), digest_size=16).digest()
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
