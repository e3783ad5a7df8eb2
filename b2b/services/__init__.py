"""What the product does. Plain functions: (session, actor, facts) -> result; they never commit."""
