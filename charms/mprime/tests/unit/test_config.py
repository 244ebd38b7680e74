from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ops
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops import testing

from charms.mprime.tests.unit.conftest import RELATION
from charms.mprime.tests.unit.fake_host import MLUCAS, Host
from harvest import reconcile
from harvest.options import OptionsError, parse_options
from harvest.workload import Desired
from mprime.config import Config

IMAGE = "172.30.0.3:5000/mlucas:1"
ANY = st.one_of(st.text(), st.integers(), st.floats(), st.booleans())
SECRET = st.dictionaries(st.sampled_from(["username", "password", "other"]), st.text())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("registry-credentials", {}, "the secret holds nothing; give it just: username, password"),
        ("registry-credentials", {"username": "u"}, "the secret holds username; give it just"),
        ("registry-credentials", {"username": "u", "password": " "}, "password is empty"),
        ("primenet-user", "x" * 21, "is not a name; give up to 20 characters"),
        ("computer-name", "two\nlines", "is not a name"),
        (
            "network",
            "host",
            "'host' is not the name of a Docker network of its own; give one such as fan",
        ),
        ("network", "container:apache2", "is not the name of a Docker network"),
        ("checkpoint-minutes", 0.0, "0 is out of range; give 0.01 to 60"),
        ("checkpoint-minutes", float("nan"), "is out of range"),
        ("worktodo", "2047", "2047 is 23 * 89, so 2^2047 - 1 is not prime"),
        ("metrics-port", 80, "80 is out of range; give 1024 to 65535"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(option: str, value: Any, told: str) -> None:
    with pytest.raises(OptionsError, match=f"option {option}: ") as caught:
        parse_options(Config, {option: value})
    assert told in str(caught.value)


def test_the_defaults_are_right() -> None:
    assert parse_options(Config, {}) == Config()


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            **{
                (name if name.startswith("install_") else name.replace("_", "-")): (
                    st.text() if field.annotation is str else ANY
                )
                for name, field in Config.model_fields.items()
                if name not in ("registry_credentials", "memory_limit", "disk_limit")
                and name not in ("cpuset", "cpu_policy", "worktodo")
            },
            "worktodo": st.text(),
            "cpu-policy": st.text(),
            "cpuset": st.text(),
            "memory-limit": st.text(),
            "disk-limit": st.text(),
            "registry-credentials": SECRET,
        },
    )
)
def test_whatever_the_options_they_are_parsed_or_refused_by_name_in_one_line(
    options: dict[str, Any],
) -> None:
    try:
        parse_options(Config, options)
    except OptionsError as error:
        told = str(error)
        assert any(f"option {name}: " in told for name in options)
        assert told.count("\n") == 0


# Letters that no option's name and no message has.
@given(password=st.text(alphabet="ΑΒΓΔ\n", min_size=4))
def test_no_error_and_no_text_of_the_options_shows_a_secret(password: str) -> None:
    shown = ""
    for content in ({"password": password}, {"username": "user", "password": password}):
        try:
            shown += repr(parse_options(Config, {"registry-credentials": content}))
        except OptionsError as error:
            shown += str(error)
    assert password not in shown


def test_a_secrets_contents_are_read_anew_when_they_change(
    host: Host, context: testing.Context[ops.CharmBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry[IMAGE] = MLUCAS
    seen: list[Desired[Config]] = []
    real = reconcile.reconcile

    def note(workload: Any, desired: Desired[Config], *, resume: bool) -> reconcile.Observed[Any]:
        seen.append(desired)
        return real(workload, desired, resume=resume)

    monkeypatch.setattr("harvest.reconcile.reconcile", note)
    first, second = ({"username": "me", "password": word} for word in ("first", "second"))
    secret = testing.Secret(first, latest_content=second)
    state = testing.State(
        config={"image": IMAGE, "registry-credentials": secret.id},
        relations={RELATION},
        secrets={secret},
    )
    out = context.run(context.on.secret_changed(secret), state)
    assert out.unit_status == testing.ActiveStatus("M110503: 0.0 %")
    credentials = seen[0].config.registry_credentials
    assert credentials
    assert (credentials.username, credentials.password.get_secret_value()) == ("me", "second")


def test_a_secret_that_was_not_granted_blocks_and_tells_how_to_grant_it(
    host: Host, run: Callable[..., testing.State]
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    status = run(
        image=IMAGE, **{"registry-credentials": "secret:cvq3b1kvmp25c9d8zzzz"}
    ).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("option registry-credentials: there is no secret secret:cvq3")
    assert "juju grant-secret NAME mprime" in status.message
    assert host.containers["mprime-0"].state == "running"
