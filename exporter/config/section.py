"""What a section of the configuration is, and how its faults are reported."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeAlias, cast, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Key: TypeAlias = tuple[str | int, ...]
"""A key's path: names, and numbers for the places in a list."""
Fault: TypeAlias = tuple[Key, str]
"""A key's path, relative to the section that reports it, and what was expected there."""

_FIXED_WORDS = {
    "missing": "expected this key: it is required",
    "model_type": "expected a mapping of keys to values",
    "dict_type": "expected a mapping of keys to values",
    "tuple_type": "expected a list",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
}
_BOUNDS = {
    "literal_error": ("one of {}", "expected"),
    "greater_than": ("more than {:g}", "gt"),
    "greater_than_equal": ("at least {:g}", "ge"),
    "less_than_equal": ("at most {:g}", "le"),
}


class ConfigurationError(Exception):
    """
    The configuration cannot be used.

    Each fault is a line: its place (file and line, variable or flag), the key's path, and what was expected. No line
    holds a value of the configuration that could be a secret.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def refusal(expected: str) -> PydanticCustomError:
    """The error that a field's validator raises; its message is reported as it stands."""
    # The type asks for a literal string, because braces would be placeholders.
    return PydanticCustomError("setting", cast("Any", expected.replace("{", "(").replace("}", ")")))


def value_of(item: Any, key: str) -> Any:
    """The value under a key of a mapping; None where there is none or `item` is no mapping."""
    return item.get(key) if isinstance(item, dict) else None


def items_of(value: Any) -> Sequence[Any]:
    """The items of a list; none where it is no list."""
    return value if isinstance(value, list) else ()


class Section(BaseModel):
    """A frozen part of the configuration that reports all its faults together, in its own words."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def cross_check(cls, data: Mapping[str, Any]) -> Iterator[Fault]:
        """Find faults that lie between keys, from the values as written, so that one fault does not hide another."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_faults(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        faults: list[Fault] = []
        if isinstance(data, dict):
            for key, value in data.items():
                field = cls.model_fields.get(key)
                if value is None and field and field.default is None and section_of(field):
                    faults.append(((key,), "expected a mapping of keys to values: leave the key out, or write some"))
            data = {key: value for key, value in data.items() if value is not None}
            faults += cls.cross_check(data)
        try:
            section = handler(data)
        except ValidationError as exc:
            # A default that depends on a faulty key is no fault of its own.
            faults = [
                (error["loc"], _own_words(error, cls))
                for error in exc.errors(include_url=False, include_input=False)
                if error["type"] != "default_factory_not_called"
            ] + faults
        if faults:
            # A new error, because the original one holds the input, which may be a token.
            raise ValidationError.from_exception_data(
                cls.__name__,
                [InitErrorDetails(type=refusal(expected), loc=key, input=None) for key, expected in faults],
                hide_input=True,
            ) from None
        return section


def _own_words(error: ErrorDetails, section: type[Section]) -> str:
    kind = error["type"]
    if kind == "setting":
        return str(error["msg"])
    if kind == "extra_forbidden":
        return unknown_key(str(error["loc"][-1]), section)
    if kind in _FIXED_WORDS:
        return _FIXED_WORDS[kind]
    words, bound = _BOUNDS.get(kind, ("another value", ""))
    return f"expected {words.format(error.get('ctx', {}).get(bound))}"


def unknown_key(name: str, section: type[Section]) -> str:
    """The words for a key that a section does not have."""
    known = section.model_fields
    return "unknown key" + (did_you_mean(name, known) or f": known are {', '.join(known)}")


def did_you_mean(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """A suggestion to be added to a message, empty where no known word is close; it never repeats the word."""
    by_lower_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=cutoff)
    return f": did you mean {by_lower_case[close[0]]}?" if close else ""


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that stands under a key, also where it is a list of them; None for a plain value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def faults_of(error: ValidationError) -> list[Fault]:
    """The faults of a section that could not be made."""
    # pydantic adds the mark [key] where a mapping's key is at fault, rather than its value.
    return [
        (tuple(part for part in each["loc"] if part != "[key]"), each["msg"])
        for each in error.errors(include_url=False, include_input=False)
    ]


def fault_line(place: str, key: Key, expected: str) -> str:
    """One line that says where a fault is and what was expected there."""
    return ": ".join(filter(None, (place, key_path(key), expected)))


def key_path(key: Iterable[str | int]) -> str:
    """A key's path as in `accounts[1].campaigns[0].id`; a part that could be a token is not shown."""
    path = ""
    for part in key:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if is_name(part) else "<not shown>")
    return path


def is_name(text: str) -> bool:
    """Whether a text is an identifier, and not perhaps a token that was put in the wrong place."""
    return bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text)) and not looks_like_a_token(text)


def looks_like_a_token(text: str) -> bool:
    """Whether a text could be a secret: a token's prefix, or a word in which letters and digits alternate."""
    words = re.split(r"[._-]", text)
    ordinary = (len(word) < 4 or re.fullmatch(r"[A-Za-z]{0,24}[0-9]{0,4}", word) for word in words)
    return text.startswith(("pat_", "ak_")) or not all(ordinary)
