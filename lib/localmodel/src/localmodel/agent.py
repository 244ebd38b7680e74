"""Runs a model until it is idle: boots machines, runs hooks, takes away what is dead.

One hook runs at a time on a machine; machines work side by side. All that must survive a
`kill -9` is in the store before anything happens outside of it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from localmodel import dispatch
from localmodel.charms import read_meta
from localmodel.context import HARDWARE_ADDRESS, HookContext
from localmodel.errors import LocalModelError
from localmodel.lifecycle import advance, enter_scope, set_agent
from localmodel.machines.inotify import require_instances
from localmodel.machines.instance import Instance
from localmodel.machines.template import ensure_template
from localmodel.machines.underlay import ensure_underlay, parse_underlay
from localmodel.resolver import choose_hook, record_hook
from localmodel.state import Hook, Machine, Model, Status, Unit
from localmodel.store import Store
from localmodel.tasks import JUJU_EXEC, Task

# Seconds until a failed hook is tried again: first, and at most; doubled in between.
FIRST_RETRY = 5.0
LAST_RETRY = 300.0
NEVER = 1e12

# Statuses that Juju itself sets, by the hook that is about to run.
BEFORE = {
    "install": Status("maintenance", "installing charm software"),
    "stop": Status("maintenance", "stopping charm software"),
}

# Told what happens: who, what, and the share done between 0 and 1 where it is known. Nothing
# ("") as the what means that it is over.
Report = Callable[[str, str, float | None], None]


def _report_nothing(who: str, what: str, share: float | None) -> None:
    """Report nothing."""


class Agent:
    """Works on one model; its caller holds the lock.

    Args:
        report: told what happens, for progress on a terminal.
    """

    def __init__(self, store: Store, model: Model, report: Report | None = None) -> None:
        self.store = store
        self.model = model
        self.guard = threading.RLock()
        self._report: Report = report or _report_nothing
        self._host_lock = threading.Lock()
        self._booting = 0
        self._deferred: set[str] = set()

    def instance(self, machine: Machine) -> Instance:
        return Instance(self.store.paths, machine.name, machine.address)

    def save(self) -> None:
        with self.guard:
            self.store.save(self.model)

    @contextmanager
    def _showing(self, who: str, what: str) -> Generator[None]:
        self._report(who, what, None)
        try:
            yield
        finally:
            self._report(who, "", None)

    def observe_machines(self) -> None:
        """Read which machines run, and in which boot; none of that is stored."""
        for machine in self.model.machines.values():
            machine.boot = self.instance(machine).boot_id()

    def run_until_idle(self) -> None:
        """Do everything that is due now. A failed hook's retry is due later.

        Raises: LocalModelError if a machine can't be made; what else was due is done first.
        """
        pool = ThreadPoolExecutor(max_workers=8)
        try:
            self._work(pool)
        except KeyboardInterrupt:
            # The threads end with the process, and until then change nothing any more: their
            # hooks go on, and the next command takes them for interrupted.
            self.store.close()
            raise
        finally:
            pool.shutdown(wait=False)

    def _work(self, pool: ThreadPoolExecutor) -> None:
        failure: LocalModelError | None = None
        running: dict[Future[None], str] = {}
        while True:
            with self.guard:
                advance(self.model)
                self.store.save(self.model)
                self._remove_agents()
                jobs = self._find_due_jobs(set(running.values()))
            for number, job in jobs.items():
                running[pool.submit(job)] = number
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                number = running.pop(future)
                try:
                    future.result()
                except LocalModelError as error:
                    failure = error
                    self._deferred.add(number)
        if failure:
            raise failure

    def run_action(self, unit: Unit, task: Task, timeout: float | None = None) -> bool:
        """Run an action now, whatever state the unit's hooks are in.

        Args:
            timeout: seconds after which it is ended.
        Returns: whether it came to its end before that.
        """
        hook = Hook(task.action, "action", context=_make_context_id(unit, task.action))
        context = self._context(unit, hook, task)
        instance = self.instance(self.model.machines[unit.machine])
        charm = unit.local.charm or self.model.apps[unit.app].sha256
        dispatch.ensure_charm(context, instance, charm)
        folder = instance.root / dispatch.locate_charm_folder(unit).relative_to("/")
        has_dispatch = (folder / "dispatch").exists()
        program = "./dispatch" if has_dispatch else f"./actions/{task.action}"
        return self._collect(context, instance, task, [program], timeout)

    def run_command(
        self, unit: Unit, task: Task, script: str, timeout: float | None = None
    ) -> bool:
        """Run a shell command with the unit's hook tools; `timeout` as for an action."""
        hook = Hook(JUJU_EXEC, "exec", context=_make_context_id(unit, JUJU_EXEC))
        instance = self.instance(self.model.machines[unit.machine])
        argv = ["/bin/bash", "-c", script]
        return self._collect(self._context(unit, hook, task), instance, task, argv, timeout)

    def _collect(
        self,
        context: HookContext,
        instance: Instance,
        task: Task,
        argv: list[str],
        timeout: float | None,
    ) -> bool:
        out: list[str] = []
        err: list[str] = []
        code = dispatch.run_in_context(context, instance, argv, out.append, err.append, timeout)
        if code is None:
            return False
        with self.guard:
            if code == 0:
                context.commit()
                self.store.save(self.model)
            task.finish(code, out, err)
        return True

    def _context(self, unit: Unit, hook: Hook, task: Task | None = None) -> HookContext:
        meta = read_meta(self.store.paths, self.model.apps[unit.app].sha256)
        files = dispatch.MachineFiles(self.instance(self.model.machines[unit.machine]))
        return HookContext(self.store, self.model, unit, meta, hook, self.guard, files, task)

    def _find_due_jobs(self, busy: set[str]) -> dict[str, Callable[[], None]]:
        """Return what each machine that is not busy does next."""
        jobs: dict[str, Callable[[], None]] = {}
        for number, machine in self.model.machines.items():
            if number in busy or number in self._deferred:
                continue
            units = [u for u in self.model.units.values() if u.machine == number]
            if machine.life == "dying" and not units:
                jobs[number] = _bind(self._destroy, machine)
            elif machine.boot is None or machine.boot != machine.ready:
                jobs[number] = _bind(self._boot, machine)
            else:
                job = self._find_next_job(machine, units)
                if job:
                    jobs[number] = job
        return jobs

    def _remove_agents(self) -> None:
        for number, machine in self.model.machines.items():
            units = [u for u in self.model.units.values() if u.machine == number]
            dispatch.remove_agents(self.instance(machine), units)

    def _find_next_job(self, machine: Machine, units: list[Unit]) -> Callable[[], None] | None:
        for unit in sorted(units, key=lambda u: (u.principal is not None, u.name)):
            meta = read_meta(self.store.paths, self.model.apps[unit.app].sha256)
            hook = choose_hook(self.model, unit, meta, time.time())
            if hook:
                return _bind(self._run_hook, machine, unit, hook)
        return None

    def _boot(self, machine: Machine) -> None:
        with self._host_lock:
            template = ensure_template(
                self.store.paths, lambda what, share: self._report("host", what, share)
            )
            network = parse_underlay(self.store.setting("underlay"))
            ensure_underlay(network)
            self._report("host", "", None)
        instance = self.instance(machine)
        with self._room_for_boot(instance), self._showing(f"machine {machine.number}", "booting"):
            instance.start(template, network)
        with self.guard:
            machine.boot = machine.ready = instance.boot_id()
            machine.status = Status("started")
            machine.mac = dispatch.MachineFiles(instance).read(HARDWARE_ADDRESS).decode().strip()
            self.store.save(self.model)

    @contextmanager
    def _room_for_boot(self, instance: Instance) -> Generator[None]:
        """Reserve what the kernel must have for one more machine to boot.

        Raises: LocalModelError if it has not.
        """
        with self._host_lock:
            if not instance.supervisor():
                require_instances(self._booting + 1)
            self._booting += 1
        try:
            yield
        finally:
            with self._host_lock:
                self._booting -= 1

    def _destroy(self, machine: Machine) -> None:
        with self._showing(f"machine {machine.number}", "removing"):
            self.instance(machine).destroy()
        with self.guard:
            del self.model.machines[machine.number]
            self.store.save(self.model)

    def _run_hook(self, machine: Machine, unit: Unit, hook: Hook) -> None:
        if unit.pending and unit.pending.context:
            # A command was killed while this hook ran.
            dispatch.wait_for_orphan(unit.pending.context)
        hook = replace(hook, context=_make_context_id(unit, hook.name))
        with self.guard:
            self._begin(unit, hook)
            charm = self._choose_charm(unit, hook)
        context = self._context(unit, hook)
        instance = self.instance(machine)
        with self._showing(unit.name, f"running {hook.name} hook"):
            code = dispatch.dispatch(context, instance, charm)
        # By juju-reboot, or by the end of the machine that it ran on.
        cut_short = context.wants_reboot == "now" or (code != 0 and not instance.is_up())
        with self.guard:
            if cut_short:
                unit.pending = replace(hook, context="")
            elif code == 0:
                context.commit()
                self._succeed(unit, hook, context)
            else:
                self._fail(unit, hook)
            self.store.save(self.model)
        if context.wants_reboot:
            self.reboot(machine)
        elif cut_short:
            self._boot(machine)

    def reboot(self, machine: Machine) -> None:
        """Reboot a machine; its started units run start again. Raises: LocalModelError."""
        instance = self.instance(machine)
        with self._showing(f"machine {machine.number}", "rebooting"):
            instance.reboot()
        with self.guard:
            machine.boot = machine.ready = instance.boot_id()
            self.store.save(self.model)

    def _choose_charm(self, unit: Unit, hook: Hook) -> str:
        """A unit runs the charm that it has until upgrade-charm brings the new one."""
        if hook.kind in ("install", "upgrade-charm") or unit.local.charm is None:
            return self.model.apps[unit.app].sha256
        return unit.local.charm

    def _begin(self, unit: Unit, hook: Hook) -> None:
        unit.pending = hook
        if hook.kind == "relation-created" and hook.relation in self.model.relations:
            enter_scope(self.model, self.model.relations[hook.relation], unit)
        before = BEFORE.get(hook.kind)
        if before and unit.failures == 0:
            unit.workload = Status(before.current, before.message)
        set_agent(unit, "executing", f"running {hook.name} hook")
        self.store.save(self.model)

    def _succeed(self, unit: Unit, hook: Hook, context: HookContext) -> None:
        record_hook(self.model, unit, hook, context.meta, time.time())
        if hook.kind == "start" and unit.workload.message == BEFORE["install"].message:
            unit.workload = Status("unknown")
        if hook.kind == "remove":
            unit.workload = Status("terminated")
        set_agent(unit, "idle")
        self._log(unit, "INFO", f'ran "{hook.name}" hook (via hook dispatching script: dispatch)')

    def _fail(self, unit: Unit, hook: Hook) -> None:
        unit.pending = replace(hook, context="")
        unit.failures += 1
        if not self.model.is_set("automatically-retry-hooks"):
            unit.retry_at = NEVER
        else:
            delay = min(FIRST_RETRY * 2 ** (unit.failures - 1), LAST_RETRY)
            unit.retry_at = time.time() + delay
        set_agent(unit, "error", f'hook failed: "{hook.name}"')
        self._log(unit, "ERROR", f'hook "{hook.name}" failed')

    def _log(self, unit: Unit, level: str, message: str) -> None:
        self.store.log(self.model, unit.tag, level, message, "juju.worker.uniter.operation")


def _make_context_id(unit: Unit, hook: str) -> str:
    return f"{unit.name}-{hook}-{secrets.token_hex(16)}"


def _bind(function: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: function(*arguments)
