"""The command line: commands, flags and exit statuses."""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

from prometheus_client import CollectorRegistry, disable_created_metrics

from exporter import __revision__, __version__, logs
from exporter.accounts import Exporter
from exporter.campaign.labels import printable
from exporter.config.files import read_regular
from exporter.config.flags import FlagParser, add_flags
from exporter.config.model import ListedStatus, Settings
from exporter.config.plan import plan_of
from exporter.config.section import ConfigurationError
from exporter.config.sources import config_file, load
from exporter.daemon import serve
from exporter.exposition.own import Instruments
from exporter.providers.redaction import Redactor
from exporter.web.config import WebConfigFile
from exporter.web.sockets import ListenError, listening

T = TypeVar("T")

log = logging.getLogger(__name__)

FAILED = 1
CONFIGURATION_WRONG = 2

_PROXY_VARIABLES = tuple(form for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for form in (name, name.lower()))

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop
except ImportError:  # not to be had on every platform; only speed is lost
    new_event_loop = asyncio.new_event_loop


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "demo" and hasattr(arguments, "config.file"):
        parser.error("demo reads no configuration file")
    command = COMMANDS[arguments.command or "serve"].run
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        return command(arguments)
    except BrokenPipeError:
        # Whoever read the output is gone; at its end Python would try to write what is left, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except ConfigurationError as exc:
        for fault in exc.faults:
            print(fault, file=sys.stderr)
        return CONFIGURATION_WRONG
    except ListenError as exc:
        print(exc, file=sys.stderr)
        return FAILED  # not 2: a later start may succeed, so a supervisor should try again


def _parser() -> FlagParser:
    """The parser of all commands; without a command it is that of `serve`."""
    program = "campaign-exporter"
    width = max(map(len, COMMANDS))
    overview = "\n".join(f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items())
    parser = FlagParser(
        prog=program,
        usage=f"{program} [COMMAND] [FLAG ...]",
        description=f"{COMMANDS['serve'].help}\n\ncommands (each has its own --help):\n{overview}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common_flags(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS, prog=program)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, usage=f"{program} {name} [FLAG ...]", description=command.help)
        _add_common_flags(one, config_file=name != "demo")
        command.add_flags(one)
    return parser


def _add_common_flags(parser: FlagParser, *, config_file: bool = True) -> None:
    parser.add_argument("--version", action="version", version=f"campaign-exporter {__version__}")
    add_flags(parser, config_file=config_file)


def _serve(arguments: argparse.Namespace) -> int:
    return _run(_exporter(lambda: load(arguments), lambda: _content(config_file(arguments))))


# What only one command needs is imported by it: the daemon keeps what it imports in memory for as long as it runs.


def _demo(arguments: argparse.Namespace) -> int:
    from exporter.simulator import SimulatedClock, demo, serving

    clock = SimulatedClock(arguments.speed)
    scenario = demo(clock, seed=arguments.seed)

    async def run() -> int:
        async with serving(scenario.world) as servers:
            base = scenario.configuration(servers)
            return await _exporter(lambda: load(arguments, base=base), lambda: None, hours_wall=clock)

    return _run(run())


def _check(arguments: argparse.Namespace) -> int:
    from exporter.commands.check import check, unasked
    from exporter.commands.report import Report, as_json, write_text
    from exporter.commands.terminal import console, progress_bar, write
    from exporter.commands.upstream import upstreams

    settings = load(arguments)
    _web_config(settings)
    redact = _log_without_secrets(settings)
    ways = upstreams(settings, redact)
    if arguments.offline:
        accounts = tuple(unasked(account, settings.poll) for account in settings.accounts)
    else:
        with progress_bar(sys.stderr) as bar:
            accounts = _run(check(ways, settings.poll, bar))
    report = Report(accounts, settings.poll, not arguments.offline, settings.warnings(), redact)
    if arguments.output == "json":
        write(as_json(report) + "\n", sys.stdout)
    else:
        write_text(report, console(sys.stdout))
    return 0 if report.ok else FAILED


def _discover(arguments: argparse.Namespace) -> int:
    from exporter.commands.discover import as_yaml, discover
    from exporter.commands.terminal import write
    from exporter.commands.upstream import upstreams

    settings = load(arguments, polling=False)
    redact = _log_without_secrets(settings)
    ways = upstreams(settings, redact)
    found = _run(discover(ways, statuses=arguments.status, name_contains=arguments.name_contains))
    write(as_yaml(found), sys.stdout)
    problems = [(one.account.name, problem) for one in found for problem in one.problems]
    for account, problem in problems:
        write(printable(redact(f"account {account!r}: not all campaigns are listed: {problem}")) + "\n", sys.stderr)
    return FAILED if problems else 0


def _log_without_secrets(settings: Settings) -> Redactor:
    redactor = Redactor()
    logs.configure(settings.log, redact=redactor)
    return redactor


def _run(command: Coroutine[None, None, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(command)


async def _exporter(
    load: Callable[[], Settings], read_file: Callable[[], bytes | None], *, hours_wall: Callable[[], float] = time.time
) -> int:
    plan = plan_of(load())
    web_config = _web_config(plan.settings)
    # Described, so that `name[]` finds the process's own metrics.
    registry = CollectorRegistry(auto_describe=True)
    instruments = Instruments(registry, __version__, __revision__)
    redactor = Redactor()

    configure_log = partial(
        logs.configure, redact=redactor, count=lambda level: instruments.log_messages.labels(level).inc()
    )
    with listening(plan.settings.web.listen_address) as sockets:
        configure_log(plan.settings.log)
        for name in filter(os.environ.get, _PROXY_VARIABLES):
            log.warning("a variable is not read: http.proxy_url sets an account's proxy", extra={"variable": name})
        exporter = Exporter(
            plan, registry, instruments, redactor=redactor, configure_log=configure_log, hours_wall=hours_wall
        )
        try:
            await serve(exporter, sockets, load, read_file, web_config)
        except Exception:
            log.exception("the exporter can't go on")
            return FAILED
    return 0


def _web_config(settings: Settings) -> WebConfigFile | None:
    file = settings.web.config.file
    return WebConfigFile(file) if file else None


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except OSError:
        return None


def _demo_flags(parser: FlagParser) -> None:
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="Simulated seconds that pass in a real one (default: 1)."
    )
    parser.add_argument("--seed", type=int, default=1, help="Seed of all that is left to chance (default: 1).")


def _check_flags(parser: FlagParser) -> None:
    parser.add_switch(parser, "--offline", default=False, help="Stop after the configuration: send nothing.")
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="Form of the report (default: table)."
    )


def _discover_flags(parser: FlagParser) -> None:
    parser.add_argument(
        "--status",
        action="append",
        choices=get_args(ListedStatus),
        help="List campaigns in this status; may be repeated (default: what the account's discovery.statuses says, or "
        "else active and paused).",
    )
    parser.add_argument(
        "--name-contains",
        metavar="TEXT",
        help="List campaigns whose name contains this (default: the account's discovery.name_contains).",
    )


def _speed(text: str) -> float:
    with suppress(ValueError):
        if 0 < (speed := float(text)) <= 3600:
            return speed
    raise argparse.ArgumentTypeError("expected a number above 0 and at most 3600")


class Command(NamedTuple):
    """A command: what it does, its own flags besides those of the settings, and the function that runs it."""

    help: str
    add_flags: Callable[[FlagParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "serve": Command(
        "Poll the configured campaigns of Anyreach and OSVI, and serve their numbers to Prometheus.",
        lambda parser: None,
        _serve,
    ),
    "check": Command(
        "Poll every configured campaign once, and report the answers and what to do about them.",
        _check_flags,
        _check,
    ),
    "discover": Command(
        "List the campaigns of the Anyreach accounts as YAML for the configuration file.",
        _discover_flags,
        _discover,
    ),
    "demo": Command(
        "Run the exporter on simulated providers, with no configuration, no account and no network.",
        _demo_flags,
        _demo,
    ),
}
