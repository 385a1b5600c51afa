"""
The configuration from all its sources.

A flag wins over a variable, a variable over the file, the file over the default. Lists are replaced, never merged.
A null (or a key without a value) counts as left out, and so does an empty variable.
"""

import argparse
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from exporter.config.certificates import unusable
from exporter.config.files import path_of
from exporter.config.flags import DEFAULT_CONFIG_FILE, ENVIRONMENT_PREFIX, Option, options
from exporter.config.model import Settings
from exporter.config.providers import facts_of
from exporter.config.section import (
    ConfigurationError,
    Fault,
    Key,
    did_you_mean,
    fault_line,
    faults_of,
    items_of,
    unknown_key,
    value_of,
)
from exporter.config.tokens import check_organization, read_token
from exporter.config.yaml_file import Document, read_file

# Kubernetes injects these into every pod of a namespace, for each Service whose name begins with campaign-exporter.
_OF_A_SERVICE = re.compile(r"(.*_)?(PORT|PORT_.*|SERVICE_HOST|SERVICE_PORT.*)", re.DOTALL)

Given: TypeAlias = dict[Key, tuple[str, Any]]
"""By key, the flag or variable that was given, and its value."""


def config_file(arguments: argparse.Namespace) -> Path:
    """The configuration file that was asked for, or the default one, which need not exist."""
    return Path(getattr(arguments, "config.file", DEFAULT_CONFIG_FILE))


def load(
    arguments: argparse.Namespace,
    *,
    environ: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
    polling: bool = True,
) -> Settings:
    """
    Read the configuration from all its sources.

    Args:
        arguments: What a parser with `add_flags` made of the command line.
        environ: The process's own by default.
        base: Plain dicts and lists in place of the file; its accounts replace those of the environment too.
        polling: Whether every account must have campaigns, or find them.

    Raises:
        ConfigurationError: With all faults of all sources.
    """
    environ = os.environ if environ is None else environ
    flags = _read_flags(arguments)
    variables, faults = _read_environment(environ)
    document = None
    if base is not None:
        variables.pop(("accounts",), None)
    else:
        path = config_file(arguments)
        try:
            document = read_file(path, required=hasattr(arguments, "config.file"))
            faults = [*(document.faults if document else ()), *faults]
        except ConfigurationError as exc:
            faults = [*exc.faults, *faults]
        else:
            if document is None and not faults and ("accounts",) not in variables:
                faults = [
                    f"{path}: expected this file, another one by --config.file, or accounts in "
                    f"{ENVIRONMENT_PREFIX}ACCOUNTS; to look around with none of them run `campaign-exporter demo`"
                ]
        base = document.anchored(Settings) if document else {}
    values = _merged(base, variables, flags)
    settings, found = _settings(values, environ)
    if polling:
        found += _nothing_to_poll(values)
    if faults and (document is None or f"{ENVIRONMENT_PREFIX}ACCOUNTS" in environ):
        # The accounts are not missing: what should hold them could not be read.
        found = [fault for fault in found if fault[0] != ("accounts",)]
    if found or faults or settings is None:
        placed = ((*_place(key, variables | flags, document), key, expected) for key, expected in found)
        # Each stands once and in the order of the file.
        ordered = sorted(dict.fromkeys(placed), key=itemgetter(0))
        raise ConfigurationError([*faults, *(fault_line(source, key, words) for _, source, key, words in ordered)])
    return settings


def _place(key: Key, given: Given, document: Document | None) -> tuple[int, str]:
    """The line of the file that a key stands in, 0 for another source, and the source's name."""
    for option, (source, _) in given.items():
        if key[: len(option)] == option:
            return 0, source
    if document is None:
        return 0, "configuration"
    line = document.line(key)
    return line, f"{document.path}:{line}"


# ---------------------------------------------------------------------------------------------------------------------
# The sources


def _read_flags(arguments: argparse.Namespace) -> Given:
    found: Given = {}
    for option in options():
        value = getattr(arguments, ".".join(option.key), None)
        if value is not None:
            found[option.key] = option.flag, option.from_text(value) if isinstance(value, str) else value
    return found


def _read_environment(environ: Mapping[str, str]) -> tuple[Given, list[str]]:
    """What the variables say, and faults."""
    found: Given = {}
    faults = []
    known = {option.variable.removeprefix(ENVIRONMENT_PREFIX): option for option in options()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        option = known.get(name)
        if option is None:
            if not _OF_A_SERVICE.fullmatch(name):
                # Without the prefix, which would make all of them alike.
                close = did_you_mean(name, known, cutoff=0.85).replace("mean ", f"mean {ENVIRONMENT_PREFIX}")
                faults.append(f"{variable}: no option has this variable{close}")
        elif text:
            try:
                found[option.key] = variable, _from_variable(option, text)
            except ValueError as exc:
                faults.append(fault_line(variable, option.key, str(exc)))
    return found, faults


def _from_variable(option: Option, text: str) -> Any:
    if not option.is_list:
        return option.from_text(text)
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as exc:
        if option.key != ("accounts",):
            return text  # a single address is not JSON
        where = f" (character {exc.pos + 1})" if isinstance(exc, json.JSONDecodeError) else ""
        raise ValueError(f"expected a list as JSON, each key once{where}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _merged(base: Mapping[str, Any], *given: Given) -> dict[str, Any]:
    """Put what was given into the file's values; the later one wins."""
    values = dict(base)
    for key, (_, value) in (item for some in given for item in some.items()):
        section = values
        *sections, name = map(str, key)
        for part in sections:
            inner = section.get(part)
            section[part] = inner = dict(inner) if isinstance(inner, dict) else {} if inner is None else inner
            section = inner
            if not isinstance(section, dict):
                break  # its own fault
        else:
            section[name] = value
    return values


# ---------------------------------------------------------------------------------------------------------------------
# The settings


def _settings(values: dict[str, Any], environ: Mapping[str, str]) -> tuple[Settings | None, list[Fault]]:
    """Make the settings; with all faults of the values and of what they name."""
    settings = None
    # Unknown keys are found here, because BaseSettings has a use of its own for _env_file and others.
    found: list[Fault] = [
        ((name,), unknown_key(name, Settings)) for name in values if name not in Settings.model_fields
    ]
    try:
        settings = Settings(**{name: value for name, value in values.items() if name in Settings.model_fields})
    except ValidationError as exc:
        found += faults_of(exc)
    accounts = list(enumerate(items_of(values.get("accounts"))))
    for index, account in accounts:
        found += ((("accounts", index, *key), words) for key, words in _check_token(account, environ))
    found += _check_certificates(accounts)
    variables = dict(_variables_in(values))
    return settings, [*variables.items(), *(fault for fault in found if not _is_below(fault[0], variables))]


def _is_below(key: Key, others: Iterable[Key]) -> bool:
    return any(key[: len(other)] == other for other in others)


def _variables_in(values: Any, key: Key = ()) -> Iterator[Fault]:
    """Find texts that still hold `${...}`: nothing replaces it here."""
    if isinstance(values, str):
        if "${" in values and re.search(r"\$\{[^}]*\}", values):
            option = next((option for option in options() if option.key == key), None)
            reads = "token_env reads a variable" if option is None else f"{option.variable} sets this key"
            yield key, f"expected a value without ${{...}}, which is not replaced here: {reads}"
    elif isinstance(values, dict | list | tuple):
        for part, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _variables_in(value, (*key, part))


def _nothing_to_poll(values: Mapping[str, Any]) -> Iterator[Fault]:
    for index, account in enumerate(items_of(values.get("accounts"))):
        if isinstance(account, dict) and not account.get("campaigns") and "discovery" not in account:
            yield (
                ("accounts", index),
                "expected campaigns, discovery or both: `campaign-exporter discover` lists the campaigns of Anyreach",
            )


def _check_token(account: Any, environ: Mapping[str, str]) -> Iterator[Fault]:
    sources = {key: value_of(account, key) for key in ("token", "token_file", "token_env")}
    named = [(key, value) for key, value in sources.items() if value is not None]
    if len(named) != 1 or not isinstance(named[0][1], str):
        return
    try:
        token = read_token(**sources, environ=environ)
    except ValueError as exc:
        yield (named[0][0],), str(exc)
        return
    facts = facts_of(value_of(account, "provider"))
    try:
        if facts is not None and facts.has_organizations:
            check_organization(token, value_of(account, "organization"))
    except ValueError as exc:
        yield ("organization",), str(exc)


def _check_certificates(accounts: Iterable[tuple[int, Any]]) -> Iterator[Fault]:
    checked: dict[tuple[str | None, ...], list[tuple[str, str]]] = {}
    for index, account in accounts:
        http = value_of(account, "http")
        ca_file, cert_file, key_file = (path_of(value_of(http, key)) for key in ("ca_file", "cert_file", "key_file"))
        # Many accounts may name the same files, which may be large.
        if (files := (ca_file, cert_file, key_file)) not in checked:
            checked[files] = list(unusable(*files))
        yield from ((("accounts", index, "http", key), words) for key, words in checked[files])
