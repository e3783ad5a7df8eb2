"""For the test suites of others: the whole program on free ports, and hands to work it with.

Everything here speaks HTTP to a process of its own; nothing of the program itself is imported. The
fixtures are in `b2b.testing.plugin`, which pytest finds by itself where the wheel is installed.
"""

from b2b.testing.mailbox import Mail, Mailbox, NoMail
from b2b.testing.program import Program, ProgramFailed, Refused
from b2b.testing.tools import Clock, Faults, Snapshots

__all__ = [
    "Clock",
    "Faults",
    "Mail",
    "Mailbox",
    "NoMail",
    "Program",
    "ProgramFailed",
    "Refused",
    "Snapshots",
]
