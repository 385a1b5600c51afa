"""What a request may ask for, and what is wrong with one that can't be answered. Pure."""

import base64
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from exporter.campaign.attempts import NEWEST, Attempt
from exporter.campaign.standing import Standing

MAX_TEXT = 200
"""Characters of a search."""
MAX_WORDS = 20
"""Words of a search."""
MAX_NAME = 500
"""Characters of any other filter."""

MAX_LIMIT = 1000
"""Campaigns in one answer."""

# Unpadded base64url of any bytes: each of them is a position in the order, so a cursor is never out of date.
_CURSOR = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}|[A-Za-z0-9_-]{3}|[A-Za-z0-9_-]{4})$"
_WORDS = rf"^\s*(\S+\s+){{0,{MAX_WORDS - 1}}}\S*\s*$"


def _few_words(text: str) -> str:
    if len(text.split()) > MAX_WORDS:
        raise PydanticCustomError("too_many_words", f"Text should have at most {MAX_WORDS} words")
    return text


def _digits(text: object) -> object:
    # Pydantic takes "1_0" and " 5 " too.
    if isinstance(text, str) and not (text.isascii() and text.isdecimal()):
        raise PydanticCustomError("not_whole", "Input should be a whole number")
    return text


class Described(BaseModel):
    """A model whose JSON schema says all about it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class CampaignQuery(Described):
    """Which campaigns a request asks for."""

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
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_digits)] = 100
    """Most campaigns in one answer."""
    cursor: Annotated[str, Field(min_length=2, max_length=1500, pattern=_CURSOR)] | None = None
    """The next_cursor of an earlier answer, to go on behind it. It never expires: campaigns that come and go meanwhile
    make no other campaign appear twice or be left out."""

    @property
    def after(self) -> str:
        """The position after which to begin."""
        cursor = self.cursor or ""
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode(errors="replace")


class AttemptsQuery(Described):
    """Which of a campaign's newest attempts a request asks for."""

    status: Name | None = None
    """Only attempts with this status."""
    criterion: Name | None = None
    """Only attempts with a verdict on this criterion."""
    outcome: Literal["true", "false", "abstain", "na", "other"] | None = None
    """Only attempts with this verdict: on the criterion, or on any."""
    limit: Annotated[int, Field(ge=1, le=NEWEST), BeforeValidator(_digits)] = 50
    """Most attempts in the answer."""

    def lets_through(self, attempt: Attempt) -> bool:
        if self.status not in (None, attempt.status):
            return False
        return (self.criterion is None and self.outcome is None) or any(
            self.criterion in (None, criterion) and self.outcome in (None, outcome)
            for criterion, outcome in (attempt.verdicts or {}).items()
        )


class ParameterProblem(Described):
    """What is wrong with one parameter."""

    parameter: str
    detail: str


class Problem(Described):
    """What is wrong with a request (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: Sequence[ParameterProblem] = ()


class ProblemError(Exception):
    """A request that can't be answered."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def not_found(detail: str) -> ProblemError:
    return ProblemError(Problem(title="Not Found", status=404, detail=detail))


Query = TypeVar("Query", bound=BaseModel)


def parse(model: type[Query], parameters: Iterable[tuple[str, str]]) -> Query:
    """
    Read the parameters of a request.

    Raises:
        ProblemError: Any is unknown, comes twice or has no such value; all that are wrong are named.
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
        for error in exc.errors():
            problems.setdefault(str(error["loc"][0]), error["msg"])
    if problems:
        detail = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        errors = [ParameterProblem(parameter=name, detail=problem) for name, problem in problems.items()]
        raise ProblemError(Problem(title="Bad Request", status=400, detail=detail, errors=errors))
    return query
