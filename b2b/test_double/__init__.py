"""What makes this program a good test double: a clock that moves, faults on demand, snapshots, a
directory from a file, and short cuts past the human steps. Never in production.
"""
