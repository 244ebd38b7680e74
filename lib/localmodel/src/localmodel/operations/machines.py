"""Adds and removes machines, and finds one for a unit."""

from __future__ import annotations

from localmodel.errors import LocalModelError
from localmodel.lifecycle import release_unit
from localmodel.machines.template import read_host_base
from localmodel.machines.underlay import find_free_address, parse_underlay
from localmodel.state import Machine, Model
from localmodel.store import Store


def add_machine(store: Store, model: Model) -> Machine:
    """Add a machine with an address that no machine of any model has; it boots later."""
    taken = {m.address for other in store.models() for m in other.machines.values()}
    taken |= {m.address for m in model.machines.values()}
    number = str(model.next_machine)
    model.next_machine += 1
    machine = Machine(
        number=number,
        name=f"juju-{model.uuid[:6]}-{number}",
        address=find_free_address(parse_underlay(store.setting("underlay")), taken),
        base=read_host_base(),
    )
    model.machines[number] = machine
    return machine


def place_unit(store: Store, model: Model, directive: str | None) -> Machine:
    """Return the machine that a placement directive names; a new one for none.

    Args:
        directive: a machine's number, a unit whose machine to share, or `new`.
    """
    if directive is None or directive == "new":
        return add_machine(store, model)
    if ":" in directive:
        raise LocalModelError(
            f'placement "{directive}": the local model has no containers or zones on machines;'
            " give a machine's number, or leave --to out for a new machine"
        )
    if "/" in directive:
        return model.machine(model.unit(directive).machine)
    if not directive.isdigit():
        raise LocalModelError(f'placement "{directive}" is neither a machine nor a unit')
    if directive not in model.machines or model.machines[directive].life == "dying":
        raise LocalModelError(f"machine {directive} not found")
    return model.machines[directive]


def remove_machine(model: Model, number: str, *, force: bool) -> None:
    """Mark a machine as dying; with units on it only if forced, and without their hooks."""
    machine = model.machine(number)
    units = [u for u in model.units.values() if u.machine == number]
    if units and not force:
        names = ", ".join(sorted(u.name for u in units))
        raise LocalModelError(
            f"machine {number} hosts units {names}: remove them first, or give --force"
        )
    for unit in units:
        release_unit(unit)
    machine.life = "dying"
