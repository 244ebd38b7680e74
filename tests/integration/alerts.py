"""What is to make which alert fire: cases for promtool, which plays an hour to the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping

# A search that is well: each metric's values, a minute apart, as promtool writes them.
WELL = {
    "up": "1x60",
    "mprime_docker_up": "1x60",
    "mprime_running": "1x60",
    "mprime_paused": "0x60",
    "mprime_out_of_work": "0x60",
    "mprime_has_work": "1x60",
    "mprime_refused": "0x60",
    "mprime_cpu_policy_in_force": "1x60",
    "mprime_restarts_total": "0x60",
    "mprime_saves_work": "1x60",
    "mprime_exponent": "216091x60",
    "mprime_iterations_done": "0+1000x60",
    "mprime_disk_free_bytes": "5000000000x60",
    "mprime_cpu_seconds_total": "0+50x60",
}
NONE = "_x60"
SILENT = {name: NONE for name in WELL if name != "up"}

# What differs from that, and the alerts that are firing at the end of the hour.
CASES: dict[str, tuple[Mapping[str, str], set[str]]] = {
    "a search that is well": ({}, set()),
    "it takes time and reports nothing": (
        {"mprime_iterations_done": "5000x60"},
        {"MprimeStalled"},
    ),
    "the machine leaves it no time": (
        {"mprime_iterations_done": "5000x60", "mprime_cpu_seconds_total": "0+20x60"},
        set(),
    ),
    "it began another test": (
        {"mprime_iterations_done": "0x60", "mprime_exponent": "110503x45 216091x14"},
        set(),
    ),
    "an operator holds it": (
        {
            "mprime_iterations_done": "5000x60",
            "mprime_running": "0x60",
            "mprime_paused": "1x60",
            "mprime_cpu_seconds_total": NONE,
        },
        set(),
    ),
    "it ended with work left": ({"mprime_running": "1x30 0x29"}, {"MprimeNotRunning"}),
    "it does not do what its options ask for": ({"mprime_refused": "1x60"}, {"MprimeRefused"}),
    "it can't save its work": ({"mprime_saves_work": "0x60"}, {"MprimeSavesNothing"}),
    "it ended a moment ago": ({"mprime_running": "1x50 0x9"}, set()),
    "the engine is down": (
        {**SILENT, "mprime_docker_up": "0x60"},
        {"MprimeNotRunning"},
    ),
    "its work is done": (
        {
            "mprime_running": "0x60",
            "mprime_out_of_work": "1x60",
            "mprime_has_work": "0x60",
            "mprime_exponent": NONE,
        },
        {"MprimeOutOfWork"},
    ),
    "its disk fills": (
        {"mprime_disk_free_bytes": "5000000000-100000000x60"},
        {"MprimeDiskNearlyFull"},
    ),
    "its weight is gone": ({"mprime_cpu_policy_in_force": "0x60"}, {"MprimeCpuPolicyNotInForce"}),
    "its weight is gone since a moment": ({"mprime_cpu_policy_in_force": "1x55 0x3"}, set()),
    "it fails every ten minutes": (
        {"mprime_restarts_total": "0x9 1x9 2x9 3x9 4x9 5x9"},
        {"MprimeRestartsAgainAndAgain"},
    ),
    "it failed twice": ({"mprime_restarts_total": "0x30 2x29"}, set()),
    "nobody answers the collector": ({**SILENT, "up": "0x60"}, {"MprimeMetricsMissing"}),
}


def write_cases(rules: str, labels: Mapping[str, str]) -> str:
    """Return the cases as promtool reads them.

    Args:
        rules: the path of the file with the rules.
        labels: of the unit that they are to hold for.
    """
    tests = [
        _write_case(name, {**WELL, **changed}, alerts, labels)
        for name, (changed, alerts) in CASES.items()
    ]
    # What is wrong with another application is not for these rules to tell.
    foreign = {**labels, "juju_application": "other"}
    ill = {**WELL, "mprime_running": "0x60", "mprime_cpu_policy_in_force": "0x60"}
    tests.append(_write_case("another application", ill, set(), foreign))
    return json.dumps({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests})


def _write_case(
    name: str, series: Mapping[str, str], alerts: set[str], labels: Mapping[str, str]
) -> dict[str, object]:
    where = ", ".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": f"{metric}{{{where}}}", "values": values}
            for metric, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count(ALERTS{alertstate="firing"}) by (alertname)',
                "eval_time": "59m",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)
                ],
            }
        ],
    }
