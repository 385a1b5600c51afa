"""The keys that are also flags and environment variables."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from pydantic.fields import FieldInfo

from exporter.config.fields import format_duration
from exporter.config.model import Settings
from exporter.config.section import Section, did_you_mean, section_of
from exporter.config.yaml_file import unquoted

DEFAULT_CONFIG_FILE = "campaign-exporter.yml"
ENVIRONMENT_PREFIX = str(Settings.model_config["env_prefix"])


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
        return self.field.is_required() or isinstance(self.field.default, tuple)

    @property
    def default(self) -> str:
        """The default as it would be written, empty where there is none."""
        value = self.field.default
        if value is None or self.field.is_required():
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
        choices = [choice for choice in get_args(self.field.annotation) if isinstance(choice, str)]
        return "{" + ",".join(choices) + "}" if choices else self.key[-1].upper()

    def from_text(self, text: str) -> Any:
        """The value of a flag or variable, as the file would hold it."""
        return unquoted(text) if isinstance(self.field.default, int) else text


def options(section: type[Section] = Settings, prefix: tuple[str, ...] = ()) -> Iterator[Option]:
    """Every key that has a variable; all but `accounts` have a flag too."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner and isinstance(field.default, Section):
            yield from options(inner, (*prefix, name))
        else:
            yield Option((*prefix, name), field)


_WRONG_CHOICE = re.compile(r"invalid choice: (?:'(.*)'|\"(.*)\") \(choose from (.*)\)", re.DOTALL)
_ECHO = re.compile(r"(ignored explicit argument|invalid \w+ value:) (?:'[^']*'|\"[^\"]*\")")


class FlagParser(argparse.ArgumentParser):
    """Takes no abbreviations; its messages suggest what was meant and repeat no values, since one may be a token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._switches: set[str] = set()

    def add_switch(self, group: Any, flag: str, **kwargs: Any) -> None:
        """Add a flag without a value, which also has a form with `no-`, and takes `=true` and `=false`."""
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **kwargs)
        self._switches.add(flag)

    # The overloads of the base class cannot be written without its own generic signature.
    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse everything, as argparse calls it for itself and for each command; what is unknown is an error."""
        words = [self._switched(word) for word in (sys.argv[1:] if args is None else args)]
        parsed, unknown = super().parse_known_args(words, namespace)
        if unknown:
            known = re.findall(r"(--[a-z.-]+)", self.format_help())
            flags = [re.split(r"[=\s]", word)[0] for word in unknown if word.startswith("--")]
            close = ", ".join(flag + did_you_mean(flag, known, cutoff=0.8) for flag in flags)
            self.error(f"unknown flag: {close}" if flags else "unexpected argument")
        return parsed, unknown

    def _switched(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        if not equals or flag not in self._switches:
            return word
        if value not in ("true", "false"):
            self.error(f"argument {flag}: expected true or false")
        return flag if value == "true" else f"--no-{flag.removeprefix('--')}"

    def error(self, message: str) -> NoReturn:
        if match := _WRONG_CHOICE.search(message):
            choices = re.findall(r"[a-z]+", match[3])
            close = did_you_mean(match[1] or match[2], choices) or f": expected one of {', '.join(choices)}"
            where = message[: match.start()]
            message = f"unknown command{close}" if where == "argument COMMAND: " else f"{where}unknown value{close}"
        super().error(_ECHO.sub(r"\1", message))


def add_flags(parser: FlagParser, *, config_file: bool = True) -> None:
    """
    Add a flag for every option, and `--config.file` where the command reads one.

    One that is not given is not in the namespace, so that a flag before a command is kept.
    """
    if config_file:
        parser.add_argument(
            "--config.file",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"The configuration file, which holds the accounts (default: {DEFAULT_CONFIG_FILE}).",
        )
    fields = {name: field for name, field in Settings.model_fields.items() if name != "accounts"}
    groups = {name: parser.add_argument_group(name, field.description) for name, field in fields.items()}
    for option in options():
        if option.key[0] in groups:
            _add_flag(parser, groups[option.key[0]], option)


def _add_flag(parser: FlagParser, group: Any, option: Option) -> None:
    words = (option.field.description or "").replace("%", "%%")
    words += " May be repeated." * option.is_list + f" (default: {option.default})" * bool(option.default)
    given = {"dest": ".".join(option.key), "default": argparse.SUPPRESS, "help": words}
    if isinstance(option.field.default, bool):
        parser.add_switch(group, option.flag, **given)
    else:
        group.add_argument(option.flag, metavar=option.metavar, action="append" if option.is_list else "store", **given)
