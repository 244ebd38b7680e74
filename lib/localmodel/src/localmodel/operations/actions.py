"""Takes in what an action is run with, and holds it against the charm's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from localmodel import goyaml
from localmodel.charms import Action, Meta
from localmodel.errors import LocalModelError
from localmodel.state import Model, Unit
from localmodel.tasks import Operation, Task
from localmodel.typeguards import is_list, is_mapping

if TYPE_CHECKING:
    import jsonschema

# What Juju's library says of a value that a keyword of a schema refuses, by the keyword.
REFUSALS: dict[str, str] = {
    "enum": "must match one of the enum values [{}]",
    "minimum": "must be greater than or equal to {}",
    "maximum": "must be lower than or equal to {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "string length must be greater or equal to {}",
    "maxLength": "string length must be lower or equal to {}",
    "pattern": "does not match pattern '{}'",
    "minItems": "array must have at least {} items",
    "maxItems": "array must have at the most {} items",
    "uniqueItems": "array items must be unique",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at the most {} properties",
    "anyOf": "must validate at least one schema (anyOf)",
    "oneOf": "must validate one and only one schema (oneOf)",
    "not": "must not validate the schema (not)",
    "type": "must be of type {}",
}


def read_params(words: Sequence[str], file: str | None, *, as_text: bool) -> dict[str, Any]:
    """Read an action's parameters: the file's, and over them `a.b=c` words.

    Args:
        as_text: take the words' values as they are, not as YAML.
    Raises: LocalModelError.
    """
    params: dict[str, Any] = {}
    if file:
        params = _read_params_file(file)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise LocalModelError(f'argument "{word}" must be of the form key.key.key...=value')
        value: Any = text
        if not as_text:
            try:
                value = goyaml.require_string_keys(goyaml.load(text))
            except (yaml.YAMLError, ValueError) as error:
                told = str(error).splitlines()[0]
                raise LocalModelError(f'argument "{word}" is not YAML: {told}') from error
        *parents, last = key.split(".")
        level = params
        for parent in parents:
            # What is not a mapping is replaced by one, as in Juju.
            if not isinstance(level.get(parent), dict):
                level[parent] = {}
            level = level[parent]
        level[last] = value
    return params


def _read_params_file(file: str) -> dict[str, Any]:
    try:
        found = goyaml.require_string_keys(goyaml.load(Path(file).read_bytes()))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise LocalModelError(f"cannot read parameters {file}: {error}") from error
    if found is None:
        return {}
    if not is_mapping(found):
        raise LocalModelError(f"cannot read parameters {file}: not a mapping")
    return found


def make_schema(name: str, action: Action) -> dict[str, Any]:
    """Return an action's parameters as a JSON Schema, as Juju completes it."""
    schema: dict[str, Any] = {
        "additionalProperties": action.additional,
        "description": action.description or "No description",
        "properties": action.params,
        "title": name,
        "type": "object",
    }
    return schema | ({"required": action.required} if action.required else {})


def explain_refusal(name: str, action: Action, params: dict[str, Any]) -> str:
    """Return why a schema does not allow these parameters, in Juju's words; nothing if it does."""
    # A quarter of the time that each command takes to start, and few need it.
    import jsonschema
    from jsonschema.exceptions import UnknownType

    schema = {
        "type": "object",
        "required": action.required,
        "additionalProperties": action.additional,
        "properties": action.params,
    }
    try:
        validator: Any = jsonschema.Draft4Validator(schema)  # its stubs leave an argument open
        problems: list[jsonschema.ValidationError] = list(validator.iter_errors(params))
    except (jsonschema.SchemaError, UnknownType) as error:
        return f"invalid params schema for action schema {name}: {str(error).splitlines()[0]}"
    told = [text for problem in problems for text in _explain_problem(problem)]
    return f"validation failed: {'; '.join(told)}" if told else ""


def _explain_problem(problem: jsonschema.ValidationError) -> Iterator[str]:
    where = "".join(f".{part}" for part in problem.absolute_path)
    given: Any = problem.instance
    shown = json.dumps(given, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for what in _list_faults(problem):
        yield f"(root){where} : {what}, given {shown}"


def _list_faults(problem: jsonschema.ValidationError) -> Iterator[str]:
    bound: Any = problem.validator_value
    match problem.validator:
        case "required":
            given: Any = problem.instance
            # One problem comes for each property; its message begins with which.
            yield from (
                f'"{name}" property is missing and required'
                for name in bound
                if name not in given and problem.message.startswith(repr(name))
            )
        case "additionalProperties":
            schema: Any = problem.schema
            given: Any = problem.instance
            extra: set[str] = set(given) - set(schema.get("properties", {}))
            yield from (f'additional property "{key}" is not allowed' for key in sorted(extra))
        case str(keyword) if keyword in REFUSALS:
            if is_list(bound):
                bound = ",".join(v if keyword == "type" else json.dumps(v) for v in bound)
            yield REFUSALS[keyword].format(bound)
        case _:
            yield problem.message


def fill_defaults(action: Action, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the schema's defaults for those that are not given."""
    defaults = {
        key: schema["default"]
        for key, schema in action.params.items()
        if is_mapping(schema) and "default" in schema
    }
    return defaults | params


def require_action(unit: Unit, meta: Meta, name: str) -> Action:
    """Raises: LocalModelError, as Juju 4 does, if the unit's charm has no such action."""
    if name not in meta.actions:
        known = ", ".join(sorted(meta.actions)) or "none"
        raise LocalModelError(
            f'action "{name}" not defined for unit "{unit.name}", which has {known} (not found)'
        )
    return meta.actions[name]


def make_operation(
    model: Model,
    summary: str,
    targets: Sequence[str],
    resolve: Callable[[str], str],
    action: str,
    params: dict[str, Any],
) -> Operation:
    """Number an operation with a task for each target that there is.

    Args:
        resolve: gives the name of a target, or raises LocalModelError for one that is not there.
    """
    operation = Operation(_take_id(model), summary)
    failures: list[str] = []
    for target in targets:
        try:
            name = resolve(target)
        except LocalModelError as error:
            failures.append(str(error))
            continue
        if all(name != task.target for task in operation.tasks):
            task = Task(_take_id(model), name, action, params, status="pending")
            operation.tasks.append(task)
    operation.fail = "\n".join(failures)
    return operation


def _take_id(model: Model) -> str:
    """Operations and tasks are numbered in one row."""
    number = model.next_task
    model.next_task += 1
    return str(number)
