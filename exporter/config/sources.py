"""
The configuration from all its sources.

A flag wins over a variable, a variable over the file, the file over the default. Lists are replaced, never merged.
A null (or a key with nothing behind it) counts as left out, and so does a variable that is set to nothing.
"""

import argparse
import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import InitSettingsSource

from exporter.config.flags import DEFAULT_CONFIG_FILE, options
from exporter.config.model import ENVIRONMENT_PREFIX, ConfigurationError, Fault, Key, Settings, items_of, value_of
from exporter.config.tokens import check_organization, read_token
from exporter.config.yaml_file import fault_line, key_path, read_file

# Kubernetes injects these into every pod of a namespace that has a Service called campaign-exporter.
_OF_A_SERVICE = re.compile(r"(PORT|PORT_.*|SERVICE_HOST|SERVICE_PORT.*)", re.DOTALL)


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    for part in key[:-1]:
        values = values.setdefault(part, {})
    values[key[-1]] = value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[tuple[str, ...], str], list[str]]:
    """Values, the variable of each key, and faults."""
    values: dict[str, Any] = {}
    variables: dict[tuple[str, ...], str] = {}
    faults = []
    known = {option.variable: option for option in options()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or _OF_A_SERVICE.fullmatch(variable, len(ENVIRONMENT_PREFIX)):
            continue
        option = known.get(variable)
        if option is None:
            # The prefix is left out: it would make all of them alike.
            names = [name.removeprefix(ENVIRONMENT_PREFIX) for name in known]
            close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, n=1, cutoff=0.85)
            hint = f": did you mean {ENVIRONMENT_PREFIX}{close[0]}?" if close else ""
            faults.append(f"{variable}: no option has this variable{hint}")
            continue
        if not text:
            continue
        value = option.from_text(text)
        if option.is_list:
            try:
                value = json.loads(text, object_pairs_hook=_unique_keys)
            except (ValueError, RecursionError) as exc:
                # One address may stand there as it is.
                if option.key == ("accounts",):
                    where = f" (character {exc.pos + 1})" if isinstance(exc, json.JSONDecodeError) else ""
                    faults.append(f"{variable}: {key_path(option.key)}: expected a list as JSON, each key once{where}")
                    continue
        _put(values, option.key, value)
        variables[option.key] = variable
    return values, variables, faults


def _read_flags(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Values, and the flag of each key."""
    values: dict[str, Any] = {}
    flags: dict[tuple[str, ...], str] = {}
    for option in options():
        given = getattr(arguments, ".".join(option.key), None)
        if given is not None:
            _put(values, option.key, option.from_text(given) if isinstance(given, str) else given)
            flags[option.key] = option.flag
    return values, flags


def _check_surroundings(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Look at the tokens and files that the accounts name."""
    for index, account in enumerate(items_of(values.get("accounts"))):
        named = [key for key in ("token", "token_file", "token_env") if value_of(account, key) is not None]
        if len(named) == 1 and isinstance(value_of(account, named[0]), str | Path | SecretStr):
            sources = {key: value_of(account, key) for key in ("token", "token_file", "token_env")}
            try:
                token = read_token(**sources, environ=environ)
            except ValueError as exc:
                yield ("accounts", index, named[0]), str(exc)
            else:
                try:
                    if value_of(account, "provider") == "anyreach":
                        check_organization(token, value_of(account, "organization"))
                except ValueError as exc:
                    yield ("accounts", index, "organization"), str(exc)
        for key in ("ca_file", "cert_file", "key_file"):
            file = value_of(value_of(account, "http"), key)
            if isinstance(file, str) and file and "\0" not in file:
                try:
                    Path(file).open("rb").close()
                except OSError as exc:
                    yield ("accounts", index, "http", key), f"expected a file that can be read: {exc.strerror}"


def config_file(arguments: argparse.Namespace) -> Path:
    """The configuration file that was asked for, or the default one, which need not exist."""
    return Path(getattr(arguments, "config.file", DEFAULT_CONFIG_FILE))


def load(
    arguments: argparse.Namespace,
    *,
    environ: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """
    Read the configuration from all its sources.

    Args:
        arguments: What a parser with `add_flags` made of the command line.
        environ: The environment; the process's own by default.
        base: Values, plain dicts and lists, that stand in place of the file; its accounts (even none) then stand in
            place of the environment's too.

    Raises:
        ConfigurationError: With all faults of all sources.
    """
    environ = os.environ if environ is None else environ
    flag_values, flags = _read_flags(arguments)
    variable_values, variables, faults = _read_environment(environ)
    document = None
    file_values: Mapping[str, Any] = {}
    if base is not None:
        file_values = base
        variable_values.pop("accounts", None)
        variables.pop(("accounts",), None)
    else:
        path = config_file(arguments)
        try:
            document = read_file(path, required=hasattr(arguments, "config.file"))
        except ConfigurationError as exc:
            faults = [*exc.faults, *faults]
        else:
            if document:
                file_values, faults = document.values, [*document.faults, *faults]
            elif "accounts" not in variable_values and not faults:
                faults = [
                    f"{path}: expected this file, another one by --config.file, or accounts in "
                    f"{ENVIRONMENT_PREFIX}ACCOUNTS; to look around with none of them run `campaign-exporter demo`"
                ]

    def place(key: Key) -> tuple[int, str]:
        for given in (flags, variables):
            for option, source in given.items():
                if key[: len(option)] == option:
                    return 0, source
        if document is None:
            return 0, "configuration"
        line = document.line(key)
        return line, f"{document.path}:{line}"

    sources = tuple(
        InitSettingsSource(Settings, dict(values)) for values in (flag_values, variable_values, file_values)
    )
    found: list[Fault] = []
    settings = None
    try:
        settings = Settings(_build_sources=(sources, {}))
    except ValidationError as exc:
        # The key of a mapping that is at fault itself is followed by the mark [key].
        found += [
            (tuple(part for part in error["loc"] if part != "[key]"), error["msg"])
            for error in exc.errors(include_url=False, include_input=False)
        ]
    accounts = variable_values.get("accounts", file_values.get("accounts"))
    found += _check_surroundings({"accounts": accounts}, environ)
    if found or faults or settings is None:
        # Each stands once and in the order of the file.
        placed = sorted({(*place(key), key, expected): None for key, expected in found}, key=itemgetter(0))
        raise ConfigurationError([*faults, *(fault_line(source, key, text) for _, source, key, text in placed)])
    return settings
