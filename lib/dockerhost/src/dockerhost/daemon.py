"""The engine's own settings, daemon.json: changed by merging, and given back.

Beside the file lies a record for each owner: what stood there before, and what was set. Since the
engine refuses settings that it does not know, and JSON has no comments, it can't lie inside. What
the engine did not start with is kept there, too: each trial stops all containers.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dockerhost import configfile, service
from dockerhost.configfile import format_settings, parse
from dockerhost.errors import DaemonError, DockerHostError, explain
from hostkit import programs

_VALIDATE_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class _Record:
    """What an owner changed.

    Attributes:
        before: the file's text; None if there was no file.
        after: the text that was written.
        settings: those that were set; None stands for one that was taken out.
        in_use: whether the engine was restarted with them.
    """

    before: str | None
    after: str
    settings: Mapping[str, Any]
    in_use: bool = False


@dataclass(frozen=True)
class _Refusal:
    """What the engine did not start with.

    Attributes:
        trial: a hash of the file's text and of all else that decides how the engine starts.
        reason: the engine's.
    """

    trial: str
    reason: str


def ensure_daemon_settings(
    settings: Mapping[str, Any], *, owner: str, report: Callable[[str], None] | None = None
) -> bool:
    """Ensure that the engine runs with these settings; return whether it was restarted.

    Settings that it did not start with are not tried again until they, the file or the options
    of its unit change.

    Args:
        settings: by their names in daemon.json; None takes one out.
        owner: who asks; `give_back_daemon_settings` gives back what was changed for the same.
        report: called with a short text before each step that takes time.

    Raises:
        DaemonError: the file is damaged, another owner has set one of these, or the engine
            refused them; then everything is as before.
        InstallError, EngineUnavailableError: the engine did not come back.
    """
    file = service.find_config(service.find_unit())
    text = configfile.read(file)
    there, record = parse(file, text), _read_record(file, owner)
    _refuse_rivals(file, owner, settings)
    # What an earlier call set, and this one does not, goes back to what it was.
    told: Mapping[str, Any] = record.settings if record else {}
    rest = {k: v for k, v in told.items() if k not in settings}
    base = _restore_settings(there, rest, parse(file, record.before if record else None))
    wanted = _merge(base, settings)
    if record:  # releases before this one let everybody read it
        configfile.copy_permissions(_locate_record(file, owner), file)
    if wanted == there and (record is None or record.in_use):
        return False
    after = text if wanted == there and text is not None else format_settings(wanted)
    trial = _hash_trial(after)
    good, former = text, record
    if record and not record.in_use:  # a trial that was killed
        good, former = record.before if text == record.after else text, None
    _refuse_again(file, owner, trial)
    _validate(after)
    before = record.before if record else text
    ours = _Record(before, after, dict(settings))
    _write_record(file, owner, ours)
    configfile.write(file, after)
    try:
        _restart(report)
    except DockerHostError as error:
        _write_or_remove(file, good)
        if former:
            _write_record(file, owner, former)
        else:
            configfile.remove(_locate_record(file, owner))
        refusal = _Refusal(
            trial,
            f"the Docker Engine did not start with {_format_short(settings)} in {file}, "
            f"which was put back as it was: {error}",
        )
        _write_refusal(file, owner, refusal)
        _restart(report)
        raise _explain_refusal(file, owner, refusal) from error
    _write_record(file, owner, replace(ours, in_use=True))
    configfile.remove(_locate_refusal(file, owner))
    return True


def give_back_daemon_settings(*, owner: str, report: Callable[[str], None] | None = None) -> bool:
    """Give back what `ensure_daemon_settings` changed; return whether there was anything.

    The file is byte for byte what it was, unless somebody has edited it since: then only our
    settings go back. The engine is restarted.

    Raises:
        DaemonError: the file is damaged, or can't be written.
        InstallError, EngineUnavailableError: the engine did not come back.
    """
    file = service.find_config(service.find_unit())
    configfile.remove(_locate_refusal(file, owner))
    record = _read_record(file, owner)
    if record is None:
        return False
    text = configfile.read(file)
    if text == record.after:
        restored = record.before
    elif text == record.before:
        restored = text  # a call before this one was killed
    else:
        before = parse(file, record.before)
        restored = format_settings(_restore_settings(parse(file, text), record.settings, before))
    if restored != text:
        _write_or_remove(file, restored)
    _restart(report)
    configfile.remove(_locate_record(file, owner))
    return True


def _merge(there: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**there, **settings}
    return {k: v for k, v in merged.items() if k not in settings or v is not None}


def _restore_settings(
    there: Mapping[str, Any], settings: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return settings without those of ours that nobody has changed since."""
    ours = {key for key, value in settings.items() if there.get(key) == value}
    return {
        **{key: value for key, value in there.items() if key not in ours},
        **{key: before[key] for key in ours if key in before},
    }


def _refuse_rivals(file: Path, owner: str, settings: Collection[str]) -> None:
    for other in sorted(file.parent.glob(_locate_record(file, "*").name)):
        rival = other.name.removeprefix(f"{file.name}.").removesuffix(".before")
        record = _read_record(file, rival) if rival != owner else None
        if record and (shared := sorted(set(settings) & set(record.settings))):
            raise DaemonError(
                f"{rival} has set {', '.join(shared)} in {file} already; "
                "only one application can: change one of the two"
            )


def _refuse_again(file: Path, owner: str, trial: str) -> None:
    """Refuse what the engine has refused before: it would stop all containers for nothing."""
    text = configfile.read(_locate_refusal(file, owner))
    try:
        refusal = _Refusal(**json.loads(text)) if text else None
    except (ValueError, TypeError):
        refusal = None  # one trial more
    if refusal and refusal.trial == trial:
        raise _explain_refusal(file, owner, refusal)


def _explain_refusal(file: Path, owner: str, refusal: _Refusal) -> DaemonError:
    return DaemonError(
        f"{refusal.reason}; fix the cause, or remove {_locate_refusal(file, owner)} "
        "to try the same settings again"
    )


def _hash_trial(text: str) -> str:
    options = service.hash_options(service.find_unit())
    return hashlib.sha256(f"{options}\0{text}".encode()).hexdigest()


def _validate(text: str) -> None:
    """Check settings with the engine's own program, which can since release 23."""
    program = next((each for each in service.DAEMONS if Path(each).exists()), None)
    if program is None:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        try:
            done = programs.call(
                *(program, "--validate", "--config-file", file.name), timeout=_VALIDATE_TIMEOUT
            )
        except OSError as error:
            raise DaemonError(f"{program} --validate: {error}") from error
    said = (done.stderr or done.stdout).strip()
    if done.returncode and "unknown flag" not in said:
        reason = said.splitlines()[-1] if said else "it did not say why"
        raise DaemonError(f"the Docker Engine refuses the settings: {explain(reason)}")


def _restart(report: Callable[[str], None] | None) -> None:
    if report:
        report("restarting the Docker Engine, for its settings")
    service.start(service.find_unit(), again=True)


def _locate_record(file: Path, owner: str) -> Path:
    return file.with_name(f"{file.name}.{owner}.before")


def _locate_refusal(file: Path, owner: str) -> Path:
    return file.with_name(f"{file.name}.{owner}.refused")


def _format_short(settings: Mapping[str, Any]) -> str:
    return ", ".join(sorted(settings))


def _read_record(file: Path, owner: str) -> _Record | None:
    path = _locate_record(file, owner)
    text = configfile.read(path)
    if text is None:
        return None
    try:
        return _Record(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise DaemonError(f"{path} is damaged: {error}; remove it") from error


def _write_record(file: Path, owner: str, record: _Record) -> None:
    # It holds the file's text: who may not read that must not read this.
    text = format_settings(asdict(record))
    configfile.write(_locate_record(file, owner), text, like=file)


def _write_refusal(file: Path, owner: str, refusal: _Refusal) -> None:
    configfile.write(_locate_refusal(file, owner), format_settings(asdict(refusal)), like=file)


def _write_or_remove(file: Path, text: str | None) -> None:
    if text is None:
        configfile.remove(file)
    else:
        configfile.write(file, text)
