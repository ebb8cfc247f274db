"""The command line: reads argv, configures logging, wires the parts and turns errors into exit codes.

0 done, 1 failed, 2 usage, 78 the configuration cannot be used (systemd does not restart on it).
"""

import argparse
import getpass
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import returnsd
from returnsd import backup, disk, doctor, item_id, logs, machine, nightly, notify, progress, review, status
from returnsd import config as configuration
from returnsd.audit import audit
from returnsd.classify import Answer, classify
from returnsd.companion import Companion, web_command
from returnsd.config import Config
from returnsd.diagnosis import FAULT
from returnsd.errors import ConfigError, DecisionError, ReturnsdError, SpoolError
from returnsd.ledger import LEDGER, Ledger
from returnsd.models import check_bundle, describe, list_lines
from returnsd.models import sentences as model_sentences
from returnsd.records import Decision
from returnsd.report import Report, sentences
from returnsd.results import Results
from returnsd.sdnotify import Notifier
from returnsd.service import Service, bundle_folders, open_model
from returnsd.spool import Spool
from returnsd.vision.jail import die_with
from returnsd.web.token import read_token

EX_CONFIG = 78
USUAL_CONFIGS = (Path("config.yaml"), Path("/etc/returnsd/config.yaml"))

_RUNNERS_UP = 3

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    asked = _parser().parse_args(arguments)
    command: Command = asked.command
    try:
        return command(asked)
    except ConfigError as error:
        print(f"returnsd: the configuration cannot be used ({_config_name(asked)}):", file=sys.stderr)
        print("\n".join(f"  {fault}" for fault in error.faults), file=sys.stderr)
        return EX_CONFIG
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ReturnsdError, OSError) as error:
        print(f"returnsd: {error}", file=sys.stderr)
        return 1
    except sqlite3.OperationalError as error:
        print(f"returnsd: the ledger: {error}: is the disk full, or another program at it?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1


# --- the commands


def _run(asked: argparse.Namespace) -> int:
    config = _working_config(asked)
    _configure_logs(config)
    companion = None
    if asked.web:
        _check_web(config)
        companion = Companion(web_command(_config_file(asked)), logs.get_logger("returnsd").bind())
    service = Service(lambda: _read_config(asked), Notifier.from_environment(), companion=companion)
    try:
        service.run()
    finally:
        service.close()
    return 0


def _web(asked: argparse.Namespace) -> int:
    if asked.beside is not None:
        die_with(asked.beside)
    config = _read_config(asked)
    _check_web(config)
    _configure_logs(config)
    from returnsd.web.serve import serve  # the worker need not carry its weight

    serve(lambda: _read_config(asked), Notifier.from_environment())
    return 0


def _check_web(config: Config) -> None:
    """ConfigError if the page cannot be served as configured, ReturnsdError if what it needs is missing."""
    read_token(config.web)
    missing = [name for name in ("fastapi", "jinja2", "uvicorn", "python_multipart") if find_spec(name) is None]
    if missing:
        raise ReturnsdError(f"the page needs {', '.join(missing)}: pip install 'returnsd[web]'")


def _batch(asked: argparse.Namespace) -> int:
    config = _working_config(asked)
    _configure_logs(config)
    started_at = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        with progress.Counting("judged") as counting:
            report, path = nightly.run(config, counting.tell)
    except (ReturnsdError, OSError) as error:
        _tell(config, Report(started_at, ended_at=started_at, problem=str(error)))
        raise
    told = _tell(config, report)
    if asked.json:
        print(path.read_text(), end="")
    else:
        print("\n".join(sentences(replace(report, problem=None))))
        print(f"Report: {path.with_suffix('.html')}")
        if report.problem:
            print(f"Not finished: {report.problem}", file=sys.stderr)
    return 1 if report.problem or not told else 0


def _tell(config: Config, report: Report) -> bool:
    """Tell whom the notify section names; say on stderr and return False if someone could not be told."""
    failures = notify.tell(config.notify, report)
    for failure in failures:
        print(f"returnsd: {failure} (section notify of the configuration)", file=sys.stderr)
    return not failures


def _classify(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    failed = False
    answers = classify(config, asked.files)
    if len(asked.files) > 1:
        answers = progress.shown(answers, len(asked.files), "pictures seen")
    for answer in answers:
        failed |= not answer.probabilities
        print(json.dumps(answer.as_json(), ensure_ascii=True) if asked.json else _sentence(answer), flush=True)
    return 1 if failed else 0


def _sentence(answer: Answer) -> str:
    name = returnsd.records.printable(answer.file)
    if not answer.probabilities:
        return f"{name}: rejected, {answer.reason}{f' ({answer.detail})' if answer.detail else ''}"
    best, *others = answer.probabilities
    runners_up = ", ".join(f"{category} {share:.2f}" for category, share in others[:_RUNNERS_UP])
    shelf = f"{answer.shelf} ({answer.reason.replace('_', ' ')})"
    return f"{name}: {best[0]} {best[1]:.2f} -> {shelf}; then {runners_up}"


def _status(asked: argparse.Namespace) -> int:
    found = status.gather(_read_config(asked))
    print(json.dumps(found, indent=2) if asked.json else "\n".join(status.lines(found)))
    return 0


def _decide(asked: argparse.Namespace) -> int:
    config = _working_config(asked)
    # a file's path in the review folder will do as well: its name begins with the id
    wanted = Path(asked.item).name[: item_id.LENGTH]
    if not item_id.is_valid(wanted):
        raise DecisionError(f"{asked.item!r} is no item id: take it from the results or the file's name in review")
    if bool(asked.category) == bool(asked.reject):
        raise DecisionError("give either a CATEGORY or --reject REASON")
    category = None if asked.reject else asked.category
    ledger = _open_ledger(config)
    spool = Spool(config.paths)
    try:
        review.heal(spool, ledger)
        review.check_category(category, open_model(config).bundle.categories)
        now = datetime.now().astimezone()
        decision = review.note(ledger, wanted, category, asked.by, now, asked.reject)
        pending = review.finish(spool, ledger, [decision])
    finally:
        ledger.close()
    print(f"{decision.item_id}: {decision.category or decision.reason}, decided by {decision.decided_by}")
    for left in pending:
        print(f"returnsd: it is recorded, but {_left(left, decision)}", file=sys.stderr)
    return 1 if any(left.obstacle is None for left in pending) else 0


def _left(left: review.Pending, decision: Decision) -> str:
    if left.obstacle is None:
        name = returnsd.records.printable(decision.file_name)
        return f"its file ({name}) is missing from review: put it back and it is moved; returnsd audit tells more"
    return f"its file is not moved yet: {left.obstacle}"


def _audit(asked: argparse.Namespace) -> int:
    config = _working_config(asked)
    ledger = _open_ledger(config, read_only=True)
    try:
        report = audit(
            Spool(config.paths),
            ledger,
            hashing=not asked.quick,
            progress=lambda rows, total: progress.shown(rows, total, "rows checked"),
        )
    finally:
        ledger.close()
    if asked.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=True))
    else:
        shelves = ", ".join(f"{shelf} {count}" for shelf, count in sorted(report.shelves.items()))
        print(f"seen {report.seen} = shelved {report.shelved} + expired {report.expired} + queued {report.queued}")
        print(f"rows {report.rows}, decisions {report.decisions}, files on the shelves: {shelves or 'none'}")
        print(f"CSV files {report.csv_files}, contents {'compared' if report.hashed else 'not compared (--quick)'}")
        for fault in report.faults:
            print(f"FAULT: {fault}")
        print("clean: nothing is lost, nothing is doubled" if report.clean else f"{report.fault_count} faults")
    return 0 if report.clean else 1


def _doctor(asked: argparse.Namespace) -> int:
    faults = 0
    told = []
    for finding in doctor.examine(_read_config(asked), _config_file(asked)):
        faults += finding.level == FAULT
        told.append(finding.as_json())
        if not asked.json:
            print("\n".join(finding.lines()), flush=True)
    if asked.json:
        print(json.dumps(told, indent=2))
    return 1 if faults else 0


def _backup(asked: argparse.Namespace) -> int:
    rows = backup.back_up(_read_config(asked), asked.file)
    print(f"{asked.file}: {rows} rows; copy the shelves after it, not before")
    return 0


def _restore(asked: argparse.Namespace) -> int:
    with asked.file.open("rb") as source:  # before root's rights are given up
        done = backup.restore(_working_config(asked), source)
    print(f"{done.rows} rows are back; {done.judged_anew} pictures went back into the queue: they came after them")
    print(f"{done.moved} files were moved where their rows say; now: returnsd audit, then start the service")
    return 0


def _rebuild_results(asked: argparse.Namespace) -> int:
    config = _working_config(asked)
    ledger = _open_ledger(config)
    try:
        days = 0
        for kind in ("returns", "decisions"):
            results = Results(config.paths.results, ledger, kind)
            for day in [asked.day] if asked.day else results.days():
                if day not in results.days():
                    continue
                days += 1
                changed = results.rebuild(day)
                print(f"{results.file_of(day)}: {'written anew' if changed else 'was as it should be'}")
            ledger.note_written(results.written)
    finally:
        ledger.close()
    if not days:
        print(f"no rows{f' on {asked.day}' if asked.day else ''}: nothing to write")
    return 0


def _model_list(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    print("\n".join(list_lines(config, bundle_folders(config))))
    return 0


def _model_show(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    shown = describe(config, asked.bundle or config.model.bundle)
    print(json.dumps(shown, indent=2, ensure_ascii=False) if asked.json else "\n".join(model_sentences(shown)))
    return 0


def _model_check(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    print(check_bundle(config, asked.bundle or config.model.bundle))
    return 0


def _model_use(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    print(check_bundle(config, asked.bundle))
    path = _config_file(asked) or USUAL_CONFIGS[0]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = str(Path(asked.bundle).absolute()) if "/" in asked.bundle else asked.bundle
    disk.replace(path.absolute(), configuration.with_bundle(text, name).encode())
    print(f"{path}: model.bundle is {name} now; a running service takes it over on SIGHUP")
    print("  (systemctl reload returnsd)")
    return 0


def _config_check(asked: argparse.Namespace) -> int:
    config = _read_config(asked)
    faults = []
    for check in (lambda: open_model(config), lambda: read_token(config.web)):
        try:
            check()
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    print(f"{_config_name(asked)}: good; model {config.model.bundle}, inbox {config.paths.inbox}")
    return 0


def _config_show(asked: argparse.Namespace) -> int:
    print(configuration.show(_read_config(asked)), end="")
    return 0


def _config_reference(asked: argparse.Namespace) -> int:
    print(configuration.reference(), end="")
    return 0


# --- what they share


def _config_file(asked: argparse.Namespace) -> Path | None:
    given: Path | None = asked.config
    return given or next((path for path in USUAL_CONFIGS if path.exists()), None)


def _config_name(asked: argparse.Namespace) -> str:
    return str(_config_file(asked) or "no file, all defaults")


def _read_config(asked: argparse.Namespace) -> Config:
    path = _config_file(asked)
    if path is None:
        return configuration.default(Path.cwd())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} cannot be read: {error}"]) from error
    return configuration.parse(text, path.absolute().parent)


def _working_config(asked: argparse.Namespace) -> Config:
    """Read the configuration; as root go on as the owner of paths.state: the service must own what we write."""
    config = _read_config(asked)
    if os.geteuid() == 0 and config.paths.state.exists():
        owner = config.paths.state.owner()
        if owner != "root":
            machine.become(owner)
    return config


def _configure_logs(config: Config) -> None:
    logs.configure(config.log.level, config.log.format)


def _open_ledger(config: Config, *, read_only: bool = False) -> Ledger:
    path = config.paths.state / LEDGER
    if not path.exists():
        raise SpoolError(f"{path} is not there: returnsd has not run with this configuration yet")
    return Ledger(path, read_only=read_only)


# --- argv


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="returnsd",
        description="Tells what each returned product is, files what it is sure of, asks a person about the rest.",
        epilog="Drop pictures into the inbox while `returnsd run` runs; see what came of them with"
        " `returnsd status` and in the results folder. Every command reads config.yaml in the working"
        " directory, or /etc/returnsd/config.yaml, or the file given with --config.",
    )
    parser.add_argument("--version", action="version", version=f"returnsd {returnsd.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = _add(
        commands,
        "run",
        _run,
        "run the service: watch the inbox, judge, record, shelve",
        "SIGTERM or Ctrl-C finishes what is in flight and stops; SIGHUP reads configuration and model anew.",
    )
    run.add_argument("--web", action="store_true", help="serve the review page and the API beside it")

    web = _add(
        commands,
        "web",
        _web,
        "serve the review page and the API",
        "By itself, for a worker that runs as another service. Listens on web.host and web.port;"
        " web.token_file is needed to listen elsewhere than on this machine.",
    )
    web.add_argument("--beside", type=int, metavar="PID", help=argparse.SUPPRESS)  # started by `run --web`

    batch = _add(commands, "batch", _batch, "judge all that waits, write the report, stop (cron, timer)",
                 "Beside a running service it waits until the service has caught up, and only reports."
                 " The report is one HTML page and a JSON in <state>/reports; section `notify` of the configuration"
                 " says who gets it. Exit code 1 if something was left unjudged or untold.")  # fmt: skip
    _json(batch)

    pictures = _add(
        commands,
        "classify",
        _classify,
        "say what pictures show; touches nothing",
        "Example: returnsd classify photo.jpg  ->  category, probability, shelf, runners-up",
    )
    pictures.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture")
    _json(pictures, "one JSON object a line")

    _json(
        _add(
            commands,
            "status",
            _status,
            "queue, rates, model, last error",
            "Works while the service runs and when it does not.",
        )
    )

    decide = _add(
        commands,
        "decide",
        _decide,
        "settle an item of the review folder: a person's decision",
        'Example: returnsd decide 01JD0Q2M8Z7V3N5K1X9W4T6R2S "Baby Products" --by anna',
    )
    decide.add_argument("item", metavar="ITEM", help="its id (results, column item_id) or its file in review")
    decide.add_argument(
        "category", metavar="CATEGORY", nargs="?", help="what it is; `returnsd model show` lists them"
    )
    decide.add_argument("--reject", metavar="REASON", help="instead: it is no product, or must be retaken")
    decide.add_argument("--by", default=_user(), metavar="X", help="who says so (default: you, %(default)s)")

    check = _add(
        commands,
        "audit",
        _audit,
        "prove that nothing is lost or doubled",
        "Recounts all items, rows and files, compares every file with its row's SHA-256 and every CSV with"
        " the ledger. Changes nothing. Exit code 1 if anything is not as promised.",
    )
    check.add_argument("--quick", action="store_true", help="do not read the pictures themselves")
    _json(check)

    _json(
        _add(
            commands,
            "doctor",
            _doctor,
            "look at this installation and machine, and say what to do",
            "Permissions, file systems, space, limits, clock, ledger, model, units. Changes nothing."
            " Exit code 1 if anything keeps pictures from being judged.",
        )
    )

    keep = _add(
        commands,
        "backup",
        _backup,
        "write a copy of the ledger, while the service runs",
        "One whole file, as of one moment. The pictures are plain files: copy them after it.",
    )
    keep.add_argument("file", type=Path, metavar="FILE", help="where to; must not be there yet")
    restore = _add(
        commands,
        "restore",
        _restore,
        "put a copy of the ledger in the ledger's place (the service is stopped)",
        "Pictures that were judged after the copy was made are judged anew, files go where their rows say, and"
        " the CSV files are written from the rows. The replaced ledger is kept beside the new one.",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="what `returnsd backup` wrote")

    rebuild = _add(
        commands,
        "rebuild-results",
        _rebuild_results,
        "write the CSV files anew from the ledger",
        "Byte for byte what they were; use it after someone edited or deleted one.",
    )
    rebuild.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="only this day's files")

    _model_commands(commands)
    _config_commands(commands)
    return parser


def _model_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    model = commands.add_parser("model", help="list, show, check or use model bundles")
    does = model.add_subparsers(metavar="list|show|check|use", required=True)
    _add(does, "list", _model_list, "the bundles at hand", "Looks in <state>/bundles and in the package.")
    show = _add(
        does,
        "show",
        _model_show,
        "what a bundle knows and how good it is",
        "Also what each target accuracy costs: the threshold, and the share archived without a person.",
    )
    show.add_argument("bundle", nargs="?", metavar="BUNDLE", help="name or directory (default: the one in use)")
    _json(show)
    check = _add(
        does,
        "check",
        _model_check,
        "load a bundle and try it on its known picture",
        "Verifies every file's SHA-256 and that this machine sees as the training machine did.",
    )
    check.add_argument("bundle", nargs="?", metavar="BUNDLE", help="name or directory (default: the one in use)")
    use = _add(
        does,
        "use",
        _model_use,
        "check a bundle, then write it into the configuration",
        "Only the line model.bundle changes.",
    )
    use.add_argument("bundle", metavar="BUNDLE", help="name or directory")


def _config_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    config = commands.add_parser("config", help="check, show or explain the configuration")
    does = config.add_subparsers(metavar="check|show|reference", required=True)
    _add(does, "check", _config_check, "name every fault at once", "Exit code 78 if there is any.")
    _add(does, "show", _config_show, "every key as it is in force", "YAML, with absolute paths.")
    _add(does, "reference", _config_reference, "every key: default, what is allowed, what it is for", "Markdown.")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: Command,
    short: str,
    long: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=short, description=f"{short[0].upper()}{short[1:]}.", epilog=long)
    parser.add_argument("--config", type=Path, metavar="F", help="the configuration file")
    parser.set_defaults(command=command)
    return parser


def _json(parser: argparse.ArgumentParser, text: str = "print JSON, for scripts") -> None:
    parser.add_argument("--json", action="store_true", help=text)


def _day(text: str) -> str:
    return datetime.strptime(text, "%Y-%m-%d").date().isoformat()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
