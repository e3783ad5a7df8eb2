"""Alembic migrations of the mail store; ``schema.migrate`` runs them."""
