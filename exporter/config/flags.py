"""The keys that are also flags and environment variables."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from pydantic.fields import FieldInfo

from exporter.config.model import ENVIRONMENT_PREFIX, Section, Settings, format_duration, section_of
from exporter.config.yaml_file import plain

DEFAULT_CONFIG_FILE = "campaign-exporter.yml"


@dataclass(frozen=True, slots=True)
class Option:
    """A key outside of the accounts (or the accounts as a whole), as a flag and as a variable."""

    key: tuple[str, ...]
    field: FieldInfo

    @property
    def flag(self) -> str:
        return "--" + ".".join(self.key).replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + "__".join(self.key).upper()

    @property
    def is_list(self) -> bool:
        return isinstance(self.field.default, tuple)

    @property
    def default(self) -> str:
        """The default as it would be written, empty where there is none."""
        value = self.field.default
        if value is None:
            return ""
        if isinstance(value, float):
            return format_duration(value)
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    @property
    def metavar(self) -> str:
        if isinstance(self.field.default, float):
            return "DURATION"
        if choices := get_args(self.field.annotation):
            return "{" + ",".join(choices) + "}" if isinstance(choices[0], str) else self.key[-1].upper()
        return self.key[-1].upper()

    def from_text(self, text: str) -> Any:
        """What a flag or variable holds, as the file would hold it."""
        return plain(text) if isinstance(self.field.default, int) else text


def options(section: type[Section] = Settings, prefix: tuple[str, ...] = ()) -> Iterator[Option]:
    """Every key that has a variable; all but `accounts` have a flag too."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner and not isinstance(field.default, tuple):
            yield from options(inner, (*prefix, name))
        else:
            yield Option((*prefix, name), field)


# The quoted values in argparse's messages; the list of choices that follows is kept.
_ECHO = re.compile(r"(ignored explicit argument|invalid choice:|invalid \w+ value:) (?:'[^']*'|\"[^\"]*\")")


class FlagParser(argparse.ArgumentParser):
    """A parser that takes no abbreviations and whose complaints repeat no values, since one may be a token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        _, _, rest = message.partition("unrecognized arguments: ")
        if rest:
            flags = [word.partition("=")[0] for word in rest.split() if word.startswith("--")]
            message = f"unknown flag: {', '.join(flags)}" if flags else "unexpected argument"
        super().error(_ECHO.sub(r"\1", message))


def add_flags(parser: argparse.ArgumentParser, *, config_file: bool = True) -> None:
    """
    Add a flag for every option, and `--config.file` where the command reads one.

    No flag has a default in the parser: one that is not given is not in the namespace, which is what `load` wants,
    and a flag before a subcommand survives it.
    """
    if config_file:
        parser.add_argument(
            "--config.file",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"The configuration file (default: {DEFAULT_CONFIG_FILE}).",
        )
    groups = {
        name: parser.add_argument_group(name, field.description)
        for name, field in Settings.model_fields.items()
        if name != "accounts"
    }
    for option in options():
        if option.key[0] not in groups:
            continue
        words = (option.field.description or "").replace("%", "%%")
        arguments: dict[str, Any] = {
            "dest": ".".join(option.key),
            "default": argparse.SUPPRESS,
            "help": words,
        }
        if isinstance(option.field.default, bool):
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments["metavar"] = option.metavar
            if option.is_list:
                arguments["action"] = "append"
                arguments["help"] += " May be repeated."
        if option.default:
            arguments["help"] += f" (default: {option.default})"
        groups[option.key[0]].add_argument(option.flag, **arguments)
