"""Moves letters: rows in an outbox, rendering at delivery, SMTP. It does not know what they
mean.
"""
