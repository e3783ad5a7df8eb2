"""`make bench`: each figure beside its baseline, measured in one run; exit status 1 below the
bar.
"""

import sys

from bench import (
    bulk_door,
    code_flow,
    delivery,
    graph_invitations,
    graph_users,
    inbox,
    invite_form,
    my_apps,
    redeeming_crowd,
    redeeming_crowd_on_postgres,
    redemption,
    sink_latency,
    sink_speed,
    tokens,
    users_list,
    users_list_on_postgres,
    web_process,
)
from bench.report import Result

BENCHES = [
    inbox,
    invite_form,
    bulk_door,
    delivery,
    redemption,
    my_apps,
    redeeming_crowd,
    redeeming_crowd_on_postgres,
    sink_latency,
    sink_speed,
    users_list,
    users_list_on_postgres,
    tokens,
    code_flow,
    web_process,
    graph_users,
    graph_invitations,
]


def main() -> int:
    """Run all, or those named on the command line."""
    wanted = sys.argv[1:]
    failed = False
    for bench in BENCHES:
        if wanted and bench.__name__.rpartition(".")[2] not in wanted:
            continue
        for result in _all(bench.run()):
            failed |= not result.holds
            verdict = "ok  " if result.holds else "FAIL"
            side = "at least" if result.at_least else "at most"
            print(f"{verdict} {result.name}: {result.value:.2f} ({side} {result.bar})")
            print(f"     {result.detail}")
    return 1 if failed else 0


def _all(found: Result | list[Result]) -> list[Result]:
    return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    sys.exit(main())
