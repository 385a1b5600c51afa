"""
The campaigns as JSON: what a query asks, what is answered, and the OpenAPI description of both. Pure.

The description is OpenAPI 3.1, made from the models: https://spec.openapis.org/oas/v3.1.0.
Problems are reported as RFC 9457 says.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticCustomError

from exporter.campaign.attempts import NEWEST
from exporter.campaign.standing import Standing
from exporter.ui.attempts import SHOWN, AttemptFilters, AttemptRow
from exporter.ui.details import CampaignDetails
from exporter.ui.fleet import MAX_NAME, MAX_TEXT, MAX_WORDS, Filters
from exporter.ui.rows import CampaignRow
from exporter.ui.states import WORDS

CAMPAIGNS = "/api/v1/campaigns"
CAMPAIGN = "/api/v1/campaigns/{provider}/{account}/{campaign}"
ATTEMPTS = f"{CAMPAIGN}/attempts"
DESCRIPTION = "/api/v1/openapi.json"
PROBLEM_TYPE = "application/problem+json"

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_CURSOR = 1500

# Unpadded base64url of any bytes: each of them is a position in the order, so a cursor is never out of date.
_CURSOR = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}|[A-Za-z0-9_-]{3}|[A-Za-z0-9_-]{4})$"
_WORDS = rf"^\s*(\S+\s+){{0,{MAX_WORDS - 1}}}\S*\s*$"
_SCHEMAS = "#/components/schemas/{model}"
_PIECE_ROWS = 50

Query = TypeVar("Query", bound=BaseModel)

_ROW = TypeAdapter(CampaignRow)
_DETAILS = TypeAdapter(CampaignDetails)


def _few_words(text: str) -> str:
    if len(text.split()) > MAX_WORDS:
        raise PydanticCustomError("too_many_words", f"Text should have at most {MAX_WORDS} words")
    return text


def _digits(text: object) -> object:
    # Pydantic takes "1_0" and " 5 " too.
    if isinstance(text, str) and not (text.isascii() and text.isdecimal()):
        raise PydanticCustomError("not_whole", "Input should be a whole number")
    return text


class _Described(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class CampaignQuery(_Described):
    """What a request asks for."""

    q: Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra={"pattern": _WORDS}), AfterValidator(_few_words)] = (
        ""
    )
    """Words (at most 20) that a campaign's name, id, account, provider, status or labels have to contain, whatever
    their case."""
    provider: Name | None = None
    """Only campaigns of this provider: anyreach or osvi."""
    account: Name | None = None
    """Only campaigns of this account."""
    state: Standing | None = None
    """Only campaigns in this state."""
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_digits)] = DEFAULT_LIMIT
    """Most campaigns in one answer."""
    cursor: Annotated[str, Field(min_length=2, max_length=MAX_CURSOR, pattern=_CURSOR)] | None = None
    """The next_cursor of an earlier answer, to go on behind it. It never expires: campaigns that come and go meanwhile
    make no other campaign appear twice or be left out."""

    @property
    def filters(self) -> Filters:
        return Filters(self.q, self.provider or "", self.account or "", self.state or "")

    @property
    def after(self) -> str:
        """The position after which to begin."""
        cursor = self.cursor or ""
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(errors="replace")


class Campaigns(_Described):
    """Some of the campaigns that match, by account and campaign."""

    campaigns: Annotated[Sequence[CampaignRow], Field(max_length=MAX_LIMIT)]
    next_cursor: str | None
    """Where to go on; null when this was the last page."""
    matching: Annotated[int, Field(ge=0)]
    """How many campaigns match on all pages together."""


class AttemptsQuery(_Described):
    """Which of a campaign's newest attempts a request asks for."""

    status: Name | None = None
    """Only attempts with this status."""
    criterion: Name | None = None
    """Only attempts with a verdict on this criterion."""
    outcome: Literal["true", "false", "abstain", "na", "other"] | None = None
    """Only attempts with this verdict: on the criterion, or on any."""
    limit: Annotated[int, Field(ge=1, le=NEWEST), BeforeValidator(_digits)] = SHOWN
    """Most attempts in the answer."""

    @property
    def filters(self) -> AttemptFilters:
        return AttemptFilters(self.status, self.criterion, self.outcome)


class Attempts(_Described):
    """The newest attempts of a campaign that match, the newest first; at most 200 are kept of each."""

    attempts: Annotated[Sequence[AttemptRow], Field(max_length=NEWEST)]


class _OneCampaign(BaseModel):
    # Only for the description, which is made from models.
    campaign: CampaignDetails


class ParameterProblem(_Described):
    """What is wrong with one parameter."""

    parameter: str
    detail: str


class Problem(_Described):
    """What is wrong with a request (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: Sequence[ParameterProblem] = ()


NO_CAMPAIGN = Problem(title="Not Found", status=404, detail="There is no such campaign.")
NO_ATTEMPTS = Problem(title="Not Found", status=404, detail="Single attempts of this account are not read.")


class BadQueryError(ValueError):
    """
    A query that cannot be understood.

    Attributes:
        problem: What is wrong with each parameter.
    """

    def __init__(self, errors: Sequence[ParameterProblem]) -> None:
        detail = "; ".join(f"{error.parameter}: {error.detail}" for error in errors)
        super().__init__(detail)
        self.problem = Problem(title="Bad Request", status=400, detail=detail, errors=errors)


def parse(parameters: Iterable[tuple[str, str]]) -> CampaignQuery:
    """
    Read the parameters of a request for campaigns.

    Raises:
        BadQueryError: Any is unknown, comes twice or has no such value; all that are wrong are named.
    """
    return _parse(CampaignQuery, parameters)


def parse_attempts(parameters: Iterable[tuple[str, str]]) -> AttemptsQuery:
    """
    Read the parameters of a request for attempts.

    Raises:
        BadQueryError: As `parse`.
    """
    return _parse(AttemptsQuery, parameters)


def _parse(model: type[Query], parameters: Iterable[tuple[str, str]]) -> Query:
    """
    Read the parameters of a request.

    Raises:
        BadQueryError: Any is unknown, comes twice or has no such value; all that are wrong are named.
    """
    given: dict[str, str] = {}
    problems: dict[str, str] = {}
    for name, value in parameters:
        if name in given:
            problems[name] = "Given more than once"
        given[name] = value
    try:
        query = model.model_validate(given)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_context=False, include_input=False):
            problems.setdefault(str(error["loc"][0]), error["msg"])
    if problems:
        raise BadQueryError([ParameterProblem(parameter=name, detail=detail) for name, detail in problems.items()])
    return query


def answer(rows: Sequence[CampaignRow], after: str | None, matching: int) -> Iterator[bytes]:
    """
    Write a `Campaigns`, in pieces that are quickly made.

    Args:
        rows: Those of this page, by account and campaign.
        after: The position of the last one, where there are more.
        matching: How many campaigns there are on all pages.
    """
    yield b'{"campaigns":['
    for place in range(0, len(rows), _PIECE_ROWS):
        piece = b",".join(map(_ROW.dump_json, rows[place : place + _PIECE_ROWS]))
        yield b"," + piece if place else piece
    cursor = None if after is None else base64.urlsafe_b64encode(after.encode()).rstrip(b"=").decode()
    yield b'],"next_cursor":%s,"matching":%d}\n' % (json.dumps(cursor).encode(), matching)


def answer_one(details: CampaignDetails) -> bytes:
    """Write one campaign."""
    return _DETAILS.dump_json(details) + b"\n"


def answer_attempts(rows: Sequence[AttemptRow]) -> bytes:
    """Write an `Attempts`."""
    return Attempts(attempts=rows).model_dump_json().encode() + b"\n"


def describe(version: str) -> bytes:
    """Write the OpenAPI description of the interface."""
    _, models = models_json_schema(
        [(model, "serialization") for model in (Campaigns, _OneCampaign, Attempts, Problem)],
        ref_template=_SCHEMAS,
    )
    schemas = {name: schema for name, schema in models["$defs"].items() if name != _OneCampaign.__name__}
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
    return json.dumps(document, indent=1).encode() + b"\n"


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(ref_template=_SCHEMAS)
    return [_parameter(name, given) for name, given in schema["properties"].items()]


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    # A parameter that is left out is no null.
    description = schema["description"]
    given = schema.get("anyOf", [schema])[0]
    plain = {key: value for key, value in given.items() if key not in ("description", "title")}
    return {"name": name, "in": "query", "description": description, "schema": plain}


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
