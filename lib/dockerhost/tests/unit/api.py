"""A stand-in for the docker package's client, for the tests of what calls it."""

from __future__ import annotations

from typing import Any

import docker.errors
import requests

DIGEST = "sha256:" + "a" * 64


class Containers(dict[str, dict[str, Any]]):
    """By name; called, as the client is, it lists those with a label."""

    def __call__(self, filters: dict[str, str], **_: Any) -> list[dict[str, str]]:
        label = filters["label"]
        return [{"Id": each["Id"]} for each in self.values() if label in each["Config"]["Labels"]]


class Api:
    """Stands in for the docker package's client: an engine's images and containers in memory."""

    api_version = "1.41"

    def __init__(self) -> None:
        self.here: dict[str, dict[str, Any]] = {}
        self.containers = Containers()
        self.calls: list[str] = []
        self.messages: list[dict[str, str]] = []
        self.arriving: dict[str, dict[str, Any]] = {}
        self.fault: Exception | None = None
        self.network_names: list[str] = []
        self.login: dict[str, str] | None = None
        self.facts: dict[str, Any] = {"CgroupDriver": "systemd", "CgroupVersion": "2"}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.fault:
            raise self.fault

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.here:
            raise docker.errors.ImageNotFound("no such image")
        return self.here[reference]

    def _deliver(self, name: str) -> Any:
        self._call(name)
        yield from self.messages
        self.here |= self.arriving

    def pull(self, name: str, **options: Any) -> Any:
        self.login = options["auth_config"]
        return self._deliver(f"pull {name}")

    def build(self, **options: Any) -> Any:
        return self._deliver(f"build {options['tag']}")

    def load_image(self, _: Any) -> Any:
        return self._deliver("load")

    def tag(self, name: str, repository: str, tag: str, *, force: bool) -> None:
        assert force
        self.here[f"{repository}:{tag}"] = self.here[name]

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert filters == {"reference": "tools/*"}
        return [{"Id": "sha256:1", "RepoTags": ["tools/one:1"], "Labels": None}]

    def remove_image(self, name: str) -> None:
        self._call(f"rmi {name}")
        if name not in self.here:
            raise docker.errors.ImageNotFound("no such image")
        del self.here[name]

    def prune_images(self, filters: dict[str, Any]) -> None:
        self._call(f"prune {filters['label']} {filters['dangling']}")

    def inspect_container(self, name: str) -> dict[str, Any]:
        for container in self.containers.values():
            if name in (container["Id"], container["Name"].lstrip("/")):
                return container
        raise docker.errors.NotFound("no such container")

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return options

    def create_container(self, image: str, **options: Any) -> None:
        self._call("create")
        self.containers[options["name"]] = {
            "Id": f"id-{options['name']}",
            "Name": f"/{options['name']}",
            "Image": image,
            "Config": {"Labels": options["labels"]},
            "HostConfig": {
                "Memory": options["host_config"]["mem_limit"] or 0,
                "CpuQuota": options["host_config"]["cpu_quota"] or 0,
                "CpuShares": options["host_config"]["cpu_shares"] or 0,
                "RestartPolicy": options["host_config"]["restart_policy"],
            },
            "State": {"Status": "created"},
        }

    def update_container(self, name: str, **options: Any) -> None:
        self._call("update")
        limits = self.inspect_container(name)["HostConfig"]
        limits["Memory"] = options.get("mem_limit") or limits["Memory"]
        limits["CpuQuota"] = options.get("cpu_quota") or limits["CpuQuota"]
        limits["CpuShares"] = options.get("cpu_shares") or limits["CpuShares"]
        limits["RestartPolicy"] = options["restart_policy"]

    def info(self) -> dict[str, Any]:
        return self.facts

    def start(self, name: str) -> None:
        self._call("start")
        self.inspect_container(name)["State"]["Status"] = "running"

    def networks(self, names: list[str]) -> list[dict[str, str]]:
        return [{"Name": each} for each in self.network_names if names[0] in each]

    def pause(self, name: str) -> None:
        self._call("pause")
        self.inspect_container(name)["State"]["Status"] = "paused"

    def unpause(self, name: str) -> None:
        self._call("unpause")
        self.inspect_container(name)["State"]["Status"] = "running"

    def stop(self, name: str, timeout: int | None) -> None:
        self._call("stop")
        self.inspect_container(name)["State"]["Status"] = "exited"

    def remove_container(self, name: str, **_: Any) -> None:
        self._call("remove")
        del self.containers[self.inspect_container(name)["Name"].lstrip("/")]

    def logs(self, name: str, tail: int, **_: Any) -> bytes:
        return b"one\ntwo \xff\n"


def refuse(code: int, reason: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = code
    return docker.errors.APIError("refused", response, reason)


def image(labels: dict[str, str] | None = None, digest: str = DIGEST) -> dict[str, Any]:
    return {
        "Id": "sha256:1",
        "RepoDigests": [f"172.30.0.3:5000/mlucas@{digest}"],
        "Config": {"Labels": labels},
    }
