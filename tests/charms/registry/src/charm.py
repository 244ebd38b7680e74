#!/usr/bin/env python3
from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import ops

import registry


@dataclasses.dataclass(frozen=True)
class PublishParams:
    """What the action `publish` is given."""

    name: str
    tag: str

    def __post_init__(self) -> None:
        """Refuse what a registry would refuse later, and less plainly."""
        if not re.fullmatch(r"[a-z0-9]+([._/-][a-z0-9]+)*", self.name):
            raise ValueError(f"name is {self.name!r}; allowed are a-z, 0-9 and single . _ - /")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", self.tag):
            raise ValueError(f"tag is {self.tag!r}; allowed are letters, digits and . _ -")


class RegistryCharm(ops.CharmBase):
    """Runs a private Docker registry with TLS."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._problem = ""
        for event in (
            self.on.install,
            self.on.upgrade_charm,
            self.on.config_changed,
            self.on.start,
            self.on.update_status,
        ):
            framework.observe(event, self._reconcile)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.publish_action, self._on_publish_action)
        framework.observe(self.on.start_action, self._on_start_action)
        framework.observe(self.on.stop_action, self._on_stop_action)
        framework.observe(self.on.require_login_action, self._on_require_login_action)
        framework.observe(self.on.allow_anyone_action, self._on_allow_anyone_action)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _reconcile(self, _: ops.EventBase) -> None:
        try:
            registry.install()
            registry.configure(self._address())
        except registry.RegistryError as error:
            self._problem = str(error)
            return
        self.unit.set_ports(registry.PORT)
        self.unit.set_workload_version(registry.version())

    def _on_stop(self, _: ops.StopEvent) -> None:
        self.unit.set_ports()
        try:
            registry.disable()
        except registry.RegistryError as error:
            self._problem = str(error)

    def _on_publish_action(self, event: ops.ActionEvent) -> None:
        params = event.load_params(PublishParams, errors="fail")
        archive = self._image()
        if archive is None:
            event.fail("no image is attached; use: juju attach-resource registry image=FILE")
            return
        host = f"{self._address()}:{registry.PORT}"
        try:
            digest = registry.publish(archive, f"{host}/{params.name}:{params.tag}")
            authority = registry.read_authority()
        except registry.RegistryError as error:
            event.fail(str(error))
            return
        event.set_results(
            {
                "image": f"{host}/{params.name}@{digest}",
                "tag-image": f"{host}/{params.name}:{params.tag}",
                "ca": authority,
            }
        )

    def _on_start_action(self, event: ops.ActionEvent) -> None:
        try:
            registry.enable()
        except registry.RegistryError as error:
            event.fail(str(error))

    def _on_stop_action(self, event: ops.ActionEvent) -> None:
        try:
            registry.disable()
        except registry.RegistryError as error:
            event.fail(str(error))

    def _on_require_login_action(self, event: ops.ActionEvent) -> None:
        try:
            password = registry.require_login()
            registry.configure(self._address())
        except registry.RegistryError as error:
            event.fail(str(error))
            return
        event.set_results({"username": registry.USER, "password": password})

    def _on_allow_anyone_action(self, event: ops.ActionEvent) -> None:
        registry.allow_anyone()
        try:
            registry.configure(self._address())
        except registry.RegistryError as error:
            event.fail(str(error))

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._problem:
            event.add_status(ops.BlockedStatus(self._problem))
        elif registry.is_running():
            event.add_status(ops.ActiveStatus(f"serving on {self._address()}:{registry.PORT}"))
        else:
            event.add_status(ops.MaintenanceStatus("the registry is stopped"))

    def _image(self) -> Path | None:
        """Return the attached archive; an unattached resource may also be an empty file."""
        try:
            path = self.model.resources.fetch("image")
        except ops.ModelError:
            return None
        return path if path.stat().st_size else None

    def _address(self) -> str:
        binding = self.model.get_binding("juju-info")
        return str(binding.network.bind_address) if binding else ""


if __name__ == "__main__":
    ops.main(RegistryCharm)
