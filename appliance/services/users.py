"""Users, as parts of a unit of work: which names may be used, who is there, who is meant."""

from __future__ import annotations

from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.services.passwords import check_password, folded
from appliance.store import events, users
from appliance.store.database import Connection
from appliance.store.users import StoredUser

LONGEST_NAME = 64


def accepted(name: str, password: str, *, shortest: int) -> str:
    """Return the name as it is stored, if both may be used.

    Raises:
        InvalidRequest: one may not; `code` says which and why.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidRequest(
            f"a user needs a name of 1 to {LONGEST_NAME} characters",
            code="user.name_invalid",
            pointer="/name",
        )
    check_password(password, name, shortest=shortest)
    return name


def refuse_if_set_up(db: Connection) -> None:
    """Make sure that there is no user.

    Raises:
        Conflict: there is one already.
    """
    if users.any_exists(db):
        raise Conflict(
            "there is a user already", code="setup.done", fix="sign in, or run `appliance open`"
        )


def create(db: Connection, name: str, phc: str, now: int) -> int:
    """Make a user and return its id.

    Raises:
        Conflict: a user of this name exists.
    """
    if users.find(db, folded(name)) is not None:
        raise Conflict(
            f"a user named {name!r} exists",
            code="user.exists",
            fix=f"choose another name, or run `appliance user passwd {name}`",
        )
    user_id = users.add(db, name, folded(name), phc, now)
    events.add(db, "user.created", now, data={"name": name})
    return user_id


def found(db: Connection, name: str) -> StoredUser:
    """Return the user of this name.

    Raises:
        NotFound: no such user.
    """
    user = users.find(db, folded(name))
    if user is None:
        raise NotFound("user", name)
    return user


def only(db: Connection) -> str:
    """Return the name of the only user.

    Raises:
        InvalidRequest: there are several.
    """
    names = [user.name for user in users.all_users(db)]
    if len(names) != 1:
        raise InvalidRequest(
            "there are several users, and none is named",
            pointer="/user",
            fix=f"name one of {', '.join(names)}",
        )
    return names[0]
