"""
The campaigns as JSON: what a query asks, what is answered, and the description of both. Pure.

The description is OpenAPI 3.1, made from `CampaignRow` itself: https://spec.openapis.org/oas/v3.1.0.
Problems are told as RFC 9457 says.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from exporter.ui.rows import MEANINGS, CampaignRow, Filters, State

CAMPAIGNS = "/api/v1/campaigns"
DESCRIPTION = "/api/v1/openapi.json"
PROBLEM_TYPE = "application/problem+json"

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_TEXT = 500
MAX_CURSOR = 1500

_LIMIT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
# Unpadded base64url of any bytes: each of them is a position in the order, so a cursor is never out of date.
_CURSOR_PATTERN = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}|[A-Za-z0-9_-]{3}|[A-Za-z0-9_-]{4})$"
_CURSOR = re.compile(_CURSOR_PATTERN.replace("$", r"\Z"))

_ROW = TypeAdapter(CampaignRow)
_PIECE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks for."""

    filters: Filters
    limit: int = DEFAULT_LIMIT
    after: str = ""
    """The position after which to begin."""


class BadQueryError(ValueError):
    """
    A query that cannot be understood.

    Attributes:
        problems: What is wrong, by the name of the parameter.
    """

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = problems


def parse(parameters: Iterable[tuple[str, str]]) -> Query:
    """
    Read the parameters of a request.

    Raises:
        BadQueryError: Any is unknown, comes twice or has no such value; all that are wrong are named.
    """
    problems: dict[str, str] = {}
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in _PARAMETERS:
            problems[name] = f"unknown; there are {', '.join(_PARAMETERS)}"
        elif name in given:
            problems[name] = "given more than once"
        elif problem := _problem(name, value):
            problems[name] = problem
        else:
            given[name] = value
    if problems:
        raise BadQueryError(problems)
    return Query(
        Filters(given.get("q", ""), given.get("provider", ""), given.get("account", ""), given.get("state", "")),
        int(given.get("limit", DEFAULT_LIMIT)),
        _position(given["cursor"]) if "cursor" in given else "",
    )


def answer(rows: Sequence[CampaignRow], after: str | None, matching: int) -> Iterator[bytes]:
    """
    Write an answer, in pieces that are quickly made.

    Args:
        rows: Those of this page, by account and campaign.
        after: The position of the last one, where there are more.
        matching: How many campaigns there are on all pages.
    """
    yield b'{"campaigns":['
    for place in range(0, len(rows), _PIECE_ROWS):
        piece = b",".join(map(_ROW.dump_json, rows[place : place + _PIECE_ROWS]))
        yield b"," + piece if place else piece
    cursor = json.dumps(None if after is None else _cursor(after)).encode()
    yield b'],"next_cursor":%s,"matching":%d}\n' % (cursor, matching)


def problem(error: BadQueryError) -> bytes:
    """Tell what is wrong with a query."""
    document = {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": str(error),
        "errors": [{"parameter": name, "detail": detail} for name, detail in error.problems.items()],
    }
    return json.dumps(document).encode() + b"\n"


def describe(version: str) -> bytes:
    """Write the OpenAPI description of the API."""
    schema: dict[str, Any] = _ROW.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas = schema.pop("$defs")
    schemas["State"]["description"] += "".join(f"\n\n- `{state}`: {meaning}" for state, meaning in MEANINGS.items())
    schemas["CampaignRow"] = {**schema, "additionalProperties": False}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "campaign-exporter",
            "version": version,
            "description": "The state of every calling campaign that the exporter polls. Reading it never causes a "
            "request to a provider.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This exporter."}],
        "paths": {CAMPAIGNS: {"get": _CAMPAIGNS_OPERATION}, DESCRIPTION: {"get": _DESCRIPTION_OPERATION}},
        "components": {"schemas": schemas | {"Campaigns": _CAMPAIGNS_SCHEMA, "Problem": _PROBLEM_SCHEMA}},
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _problem(name: str, value: str) -> str | None:
    if name == "q" and len(value) > MAX_TEXT:
        return f"expected at most {MAX_TEXT} characters"
    if name in ("provider", "account") and not 1 <= len(value) <= MAX_TEXT:
        return f"expected 1 to {MAX_TEXT} characters"
    if name == "state" and value not in list(State):
        return f"expected one of {', '.join(State)}"
    if name == "limit" and not (_LIMIT.fullmatch(value) and int(value) <= MAX_LIMIT):
        return f"expected a whole number from 1 to {MAX_LIMIT}"
    if name == "cursor" and not (len(value) <= MAX_CURSOR and _CURSOR.match(value)):
        return "expected the next_cursor of an earlier answer"
    return None


def _cursor(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).rstrip(b"=").decode()


def _position(cursor: str) -> str:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(errors="replace")


_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "q": (
        "Words that a campaign's name, id, account, provider, status or labels have to contain, in any case.",
        {"type": "string", "maxLength": MAX_TEXT},
    ),
    "provider": (
        "Only campaigns of this provider, such as anyreach or osvi.",
        {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
    ),
    "account": ("Only campaigns of this account.", {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}),
    "state": ("Only campaigns in this state.", {"$ref": "#/components/schemas/State"}),
    "limit": (
        "Most campaigns in one answer.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    "cursor": (
        "The next_cursor of an earlier answer, to go on behind it. It stays good for ever: campaigns that come and go "
        "meanwhile make no other campaign appear twice or be left out.",
        {"type": "string", "minLength": 2, "maxLength": MAX_CURSOR, "pattern": _CURSOR_PATTERN},
    ),
}

_CAMPAIGNS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Some of the campaigns that match, by account and campaign.",
    "properties": {
        "campaigns": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/CampaignRow"},
            "maxItems": MAX_LIMIT,
        },
        "next_cursor": {"type": ["string", "null"], "description": "Where to go on; null when this was the last page."},
        "matching": {"type": "integer", "minimum": 0, "description": "How many campaigns match on all pages together."},
    },
    "required": ["campaigns", "next_cursor", "matching"],
    "additionalProperties": False,
}

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What is wrong with a request (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["parameter", "detail"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["type", "title", "status", "detail", "errors"],
    "additionalProperties": False,
}

_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an earlier answer.",
    "schema": {"type": "string"},
}

_ETAG: dict[str, Any] = {"ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}}}

_NOT_MODIFIED: dict[str, Any] = {"description": "Nothing has changed since If-None-Match.", "headers": _ETAG}

_CAMPAIGNS_OPERATION: dict[str, Any] = {
    "operationId": "listCampaigns",
    "summary": "List campaigns",
    "parameters": [
        *(
            {"name": name, "in": "query", "description": description, "schema": schema}
            for name, (description, schema) in _PARAMETERS.items()
        ),
        _IF_NONE_MATCH,
    ],
    "responses": {
        "200": {
            "description": "One page of the campaigns that match.",
            "headers": _ETAG,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Campaigns"}}},
        },
        "304": _NOT_MODIFIED,
        "400": {
            "description": "A parameter is unknown, comes twice or has no such value.",
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    },
}

_DESCRIPTION_OPERATION: dict[str, Any] = {
    "operationId": "describe",
    "summary": "Describe this API",
    "parameters": [_IF_NONE_MATCH],
    "responses": {
        "200": {
            "description": "This document.",
            "headers": _ETAG,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "304": _NOT_MODIFIED,
    },
}
