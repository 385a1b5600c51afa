"""
OSVI's call log, page by page.

The route: https://docs.osvi.ai/api-reference/endpoint/list_calls. Phone numbers and names are skipped by the decoder.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from exporter.campaign.attempts import Attempt
from exporter.campaign.snapshot import CALLS_IN_PROGRESS
from exporter.providers.errors import InvalidResponseError
from exporter.providers.wire import Odd, count, number, read_as, read_id, read_moment, short_text

CALLS_PER_PAGE: Final = 100


class _WireCall(msgspec.Struct):
    call_id: Any = None
    campaign_id: Any = None
    status: Any = None
    duration_seconds: Any = None
    call_ended_reason: Any = None
    tag: Any = None
    created_at: Any = None


class _WirePage(msgspec.Struct):
    success: Any = None
    data: list[_WireCall | Odd] | None = None
    meta: Any = None


_decoder = msgspec.json.Decoder(_WirePage)


@dataclass(frozen=True, slots=True)
class Call:
    campaign_id: str
    """The number of its campaign, as the configuration writes it; empty where it has none."""
    ended: bool
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class CallsPage:
    """One page, the newest call first; `pages` is the number of all pages, where the answer has it."""

    calls: list[Call]
    pages: float | None


def read_calls(body: bytes) -> CallsPage:
    """
    Read one page of the call log.

    Raises:
        InvalidResponseError: `success` is not true, or another kind of value where an array or object must stand.
    """
    if (page := read_as(_decoder, body)) is None:
        raise InvalidResponseError("the answer holds no calls")
    if page.success is not True or page.data is None:
        raise InvalidResponseError("success is not true")
    pages = count(page.meta.get("total_pages")) if isinstance(page.meta, dict) else None
    calls = (_call(wire) for wire in page.data if isinstance(wire, _WireCall))
    return CallsPage([call for call in calls if call], pages)


def _call(wire: _WireCall) -> Call | None:
    """A call; None where it has no id, by which it could be counted once."""
    if (call_id := short_text(read_id(wire.call_id))) is None:
        return None
    status = short_text(wire.status) or ""
    ended = status != CALLS_IN_PROGRESS
    began = read_moment(wire.created_at)
    seconds = number(wire.duration_seconds) if ended else None
    campaign = count(wire.campaign_id)
    return Call(
        "" if campaign is None else f"{campaign:.0f}",
        ended,
        Attempt(
            id=call_id,
            status=status,
            started_at=began,
            ended_at=None if began is None or not ended else began + (seconds or 0.0),
            seconds=seconds,
            conversation_id=call_id,
            tag=short_text(wire.tag.get("name")) if isinstance(wire.tag, dict) else None,
            end_reason=short_text(wire.call_ended_reason) if ended else None,
        ),
    )
