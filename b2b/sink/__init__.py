"""The mail sink: catches every mail and keeps it for testers to read. It never sends one.

A program within the program: SMTP in, a store of its own, questions answered. It knows nothing of
the directory and runs alone as well, with ``python -m b2b.sink``.
"""
