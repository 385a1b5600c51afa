"""The campaigns as JSON, and the description of the interface, made from the models (OpenAPI 3.1). Pure."""

import base64
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter
from pydantic_core import to_json

from exporter.campaign.attempts import NEWEST
from exporter.ui.details import AttemptRow, CampaignDetails
from exporter.ui.queries import MAX_LIMIT, AttemptsQuery, CampaignQuery, Described, Problem
from exporter.ui.rows import CampaignRow
from exporter.ui.states import WORDS

CAMPAIGNS = "/api/v1/campaigns"
CAMPAIGN = "/api/v1/campaigns/{provider}/{account}/{campaign}"
ATTEMPTS = f"{CAMPAIGN}/attempts"
DESCRIPTION = "/api/v1/openapi.json"
PROBLEM_TYPE = "application/problem+json"

_SCHEMAS = "#/components/schemas/{model}"


class Campaigns(Described):
    """Some of the campaigns that match, by account and campaign."""

    campaigns: Annotated[Sequence[CampaignRow], Field(max_length=MAX_LIMIT)]
    next_cursor: str | None
    """Where to go on; null when this was the last page."""
    matching: Annotated[int, Field(ge=0)]
    """How many campaigns match on all pages together."""


class Attempts(Described):
    """The newest attempts of a campaign that match, the newest first; at most 200 are kept of each."""

    attempts: Annotated[Sequence[AttemptRow], Field(max_length=NEWEST)]


def campaigns_of(rows: Iterable[bytes], after: str | None, matching: int) -> bytes:
    """Write a `Campaigns` of rows that are JSON already; `after` is the position of the last, where there are more."""
    cursor = None if after is None else base64.urlsafe_b64encode(after.encode()).rstrip(b"=").decode()
    return b'{"campaigns":[%s],"next_cursor":%s,"matching":%d}' % (b",".join(rows), to_json(cursor), matching)


def describe(version: str) -> bytes:
    """Write the OpenAPI description of the interface."""
    answers: tuple[type[Any], ...] = (Campaigns, CampaignDetails, Attempts, Problem)
    _, models = TypeAdapter.json_schemas(
        [(answer.__name__, "serialization", TypeAdapter(answer)) for answer in answers], ref_template=_SCHEMAS
    )
    schemas = models["$defs"]
    schemas["Standing"]["description"] = "Where a campaign stands.\n" + "".join(
        f"\n- `{state}`: {words.meaning}" for state, words in WORDS.items()
    )
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "campaign-exporter",
            "version": version,
            "description": "The state of every calling campaign that the exporter polls. Reading it never causes a "
            "request to a provider.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        # Relative to this document, so that it is right behind a reverse proxy under any path.
        "servers": [{"url": "../..", "description": "This exporter."}],
        "paths": {
            CAMPAIGNS: _get("listCampaigns", "List campaigns", "Campaigns", _parameters(CampaignQuery), _BAD_REQUEST),
            CAMPAIGN: _get("getCampaign", "One campaign", "CampaignDetails", _PATH, _NOT_FOUND),
            ATTEMPTS: _get(
                *("listAttempts", "Newest attempts of a campaign", "Attempts"),
                [*_PATH, *_parameters(AttemptsQuery)],
                {**_BAD_REQUEST, "404": _problem_response("No such campaign, or its attempts are not read.")},
            ),
            DESCRIPTION: _get("describe", "Describe this API", None, [], {}),
        },
        "components": {"schemas": schemas},
    }
    return to_json(document, indent=1)


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    parameters = []
    for name, schema in query.model_json_schema(ref_template=_SCHEMAS)["properties"].items():
        # A parameter that is left out is no null.
        given = schema.get("anyOf", [schema])[0]
        plain = {key: value for key, value in given.items() if key not in ("description", "title")}
        parameters.append({"name": name, "in": "query", "description": schema["description"], "schema": plain})
    return parameters


def _get(
    operation: str, summary: str, model: str | None, parameters: Sequence[dict[str, Any]], others: dict[str, Any]
) -> dict[str, Any]:
    schema = {"type": "object"} if model is None else {"$ref": _SCHEMAS.format(model=model)}
    success = {"description": summary, "headers": _ETAG, "content": {"application/json": {"schema": schema}}}
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "parameters": [*parameters, _IF_NONE_MATCH],
            "responses": {"200": success, "304": _NOT_MODIFIED, **others},
        }
    }


_IF_NONE_MATCH: dict[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an earlier answer.",
    "schema": {"type": "string"},
}
_ETAG: dict[str, Any] = {"ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}}}
_NOT_MODIFIED: dict[str, Any] = {"description": "Nothing has changed since If-None-Match.", "headers": _ETAG}


def _problem_response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": {"$ref": _SCHEMAS.format(model="Problem")}}},
    }


_PATH = [
    {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"As in the campaign's field {name}.",
        "schema": {"type": "string", "minLength": 1},
    }
    for name in ("provider", "account", "campaign")
]
_NOT_FOUND = {"404": _problem_response("There is no such campaign.")}
_BAD_REQUEST = {"400": _problem_response("A parameter is unknown, comes twice or has no such value.")}
