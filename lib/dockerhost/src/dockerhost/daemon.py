"""The engine's own settings, /etc/docker/daemon.json: changed by merging, and given back.

Beside the file lies a record for each owner: what stood there before, and what was set. Since the
engine refuses settings that it does not know, and JSON has no comments, it can't lie inside.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dockerhost import host
from dockerhost.errors import DaemonError, DockerHostError, explain

CONFIG = Path("/etc/docker/daemon.json")
# The snap's engine can't read /etc.
_SNAP_CONFIG = Path("/var/snap/docker/current/config/daemon.json")
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


def settle_daemon(
    settings: Mapping[str, Any], *, owner: str, report: Callable[[str], None] | None = None
) -> bool:
    """Let the engine run with these settings; return whether it had to be restarted.

    Args:
        settings: by their names in daemon.json; None takes one out.
        owner: who asks; `restore_daemon` gives back what was changed for the same.
        report: called with a short text before each step that takes time.

    Raises:
        DaemonError: the file is damaged, another owner has set one of these, or the engine
            refused them; then everything is as before.
        InstallError, EngineUnavailableError: the engine did not come back.
    """
    file = _locate()
    text = _read(file)
    there, record = _parse(file, text), _read_record(file, owner)
    _refuse_rivals(file, owner, settings)
    # What an earlier call set, and this one does not, goes back to what it was.
    rest = {k: v for k, v in (record.settings if record else {}).items() if k not in settings}
    base = _take_back(there, rest, _parse(file, record.before if record else None))
    wanted = _merge(base, settings)
    if wanted == there and (record is None or record.in_use):
        return False
    after = text if wanted == there and text is not None else _format(wanted)
    _validate(after)
    before = record.before if record else text
    ours = _Record(before, after, dict(settings))
    _write_record(file, owner, ours)
    _write(file, after)
    try:
        _restart(report)
    except DockerHostError as error:
        if text is None:
            _remove(file)
        else:
            _write(file, text)
        _restart(report)
        if record:
            _write_record(file, owner, record)
        else:
            _remove(_locate_record(file, owner))
        raise DaemonError(
            f"the Docker Engine did not start with {_format_short(settings)} in {file}, "
            f"which is as before: {error}"
        ) from error
    _write_record(file, owner, replace(ours, in_use=True))
    return True


def restore_daemon(*, owner: str, report: Callable[[str], None] | None = None) -> bool:
    """Give back what `settle_daemon` changed for an owner; return whether there was anything.

    The file is what it was, to the letter, unless somebody has edited it since: then only our
    settings go back. The engine is restarted.

    Raises:
        DaemonError: the file is damaged, or can't be written.
        InstallError, EngineUnavailableError: the engine did not come back.
    """
    file = _locate()
    record = _read_record(file, owner)
    if record is None:
        return False
    text = _read(file)
    if text == record.after:
        restored = record.before
    elif text == record.before:
        restored = text  # a call before this one was killed
    else:
        before = _parse(file, record.before)
        restored = _format(_take_back(_parse(file, text), record.settings, before))
    if restored is None:
        _remove(file)
    elif restored != text:
        _write(file, restored)
    _restart(report)
    _remove(_locate_record(file, owner))
    return True


def _merge(there: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**there, **settings}
    return {k: v for k, v in merged.items() if k not in settings or v is not None}


def _take_back(
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
                "only one can: change that one, or this"
            )


def _validate(text: str) -> None:
    """Let the engine's own program check settings, where it can: since release 23."""
    program = next((each for each in host.DAEMONS if Path(each).exists()), None)
    if program is None:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        try:
            done = subprocess.run(
                [program, "--validate", "--config-file", file.name],
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_VALIDATE_TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DaemonError(f"{program} --validate: {error}") from error
    said = (done.stderr or done.stdout).strip()
    if done.returncode and "unknown flag" not in said:
        reason = said.splitlines()[-1] if said else "it did not say why"
        raise DaemonError(f"the Docker Engine refuses the settings: {explain(reason)}")


def _restart(report: Callable[[str], None] | None) -> None:
    if report:
        report("restarting the Docker Engine, for its settings")
    host.start(host.find_unit(), again=True)


def _locate() -> Path:
    return _SNAP_CONFIG if host.find_unit().startswith("snap.") else CONFIG


def _locate_record(file: Path, owner: str) -> Path:
    return file.with_name(f"{file.name}.{owner}.before")


def _parse(file: Path, text: str | None) -> dict[str, Any]:
    try:
        settings = json.loads(text or "{}")
    except ValueError as error:
        raise DaemonError(f"{file} is no JSON: {error}; mend it first") from error
    if not isinstance(settings, dict):
        raise DaemonError(f"{file} holds no JSON object; mend it first")
    return settings


def _format(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=4) + "\n"


def _format_short(settings: Mapping[str, Any]) -> str:
    return ", ".join(sorted(settings))


def _read(file: Path) -> str | None:
    with _naming(file):
        try:
            return file.read_text()
        except FileNotFoundError:
            return None


def _read_record(file: Path, owner: str) -> _Record | None:
    path = _locate_record(file, owner)
    text = _read(path)
    if text is None:
        return None
    try:
        return _Record(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise DaemonError(f"{path} is damaged: {error}; remove it") from error


def _write_record(file: Path, owner: str, record: _Record) -> None:
    _write(_locate_record(file, owner), _format(asdict(record)))


def _remove(file: Path) -> None:
    with _naming(file):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # the folder holds someone else's files, and stays
        file.parent.rmdir()


def _write(file: Path, text: str) -> None:
    """Write a file whole; its mode stays as it is."""
    with _naming(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(mode)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Turn a file system error into one that names the file."""
    try:
        yield
    except OSError as error:
        raise DaemonError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DaemonError(f"{file} is no text: {error.reason}; mend it first") from error
