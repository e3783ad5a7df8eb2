"""Statements that are compiled once."""

import pytest
from sqlalchemy import create_engine, insert, select

from b2b.models import Base, UserToken, new_id
from b2b.prepared import Prepared


def test_a_value_that_is_missing_is_told_and_nothing_is_stored() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine, tables=[UserToken.__table__])  # type: ignore[list-item]
    keys = ["tenant_id", "token", "user_id", "in_name"]
    whole = {"tenant_id": new_id(), "token": "ada", "user_id": new_id(), "in_name": True}
    adding = Prepared(insert(UserToken), keys)
    with engine.connect() as connection:
        with pytest.raises(KeyError, match="token"):
            adding.write(connection, [{k: v for k, v in whole.items() if k != "token"}])
        assert connection.execute(select(UserToken.token)).all() == []
        adding.write(connection, [whole])
        assert connection.execute(select(UserToken.token)).all() == [("ada",)]
