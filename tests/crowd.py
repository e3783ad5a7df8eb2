"""Many at once: real threads that start together, each with a transaction of its own."""

import threading
from collections.abc import Callable
from typing import TypeVar

from flask import Flask
from sqlalchemy.orm import Session

from b2b import worker

T = TypeVar("T")


def at_once(
    app: Flask, count: int, what: Callable[[Session, int], T]
) -> tuple[list[T], list[BaseException]]:
    """Run `what(session, number)` *count* times at once, each committed by itself.

    Returns what came back and what was raised, in the order of the numbers.
    """
    results: dict[int, T] = {}
    faults: dict[int, BaseException] = {}
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        with app.app_context():
            barrier.wait(30)
            try:
                with worker.transaction() as session:
                    results[number] = what(session, number)
            except BaseException as error:
                faults[number] = error
                results.pop(number, None)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not any(thread.is_alive() for thread in threads)
    return [results[n] for n in sorted(results)], [faults[n] for n in sorted(faults)]
