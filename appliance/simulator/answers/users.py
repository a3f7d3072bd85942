"""Accounts of Macs and Shared iPads, and what Setup Assistant waits for."""

from __future__ import annotations

import uuid
from typing import Any, Final

from appliance.simulator.answers.command import IOS, MAC, TV, Answer, Call, Command, acknowledged
from appliance.simulator.answers.queries import stable
from appliance.simulator.errors import MDM, Malformed, Refusal, not_supervised
from appliance.simulator.state import DeviceState, User


def _list(call: Call) -> Answer:
    return acknowledged(Users=[_listed(call.state, user) for user in call.state.users])


def _listed(state: DeviceState, user: User) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "UserName": user.short_name,
        "FullName": user.full_name,
        "IsLoggedIn": user.logged_in,
    }
    if state.is_mac:
        return entry | {
            "UID": user.uid,
            "UserGUID": user.guid,
            "MobileAccount": False,
            "HasSecureToken": user.secure_token,
        }
    return entry | {
        "HasDataToSync": user.unsynced,
        "DataQuota": 2_000_000_000,
        "DataUsed": 350_000_000,
    }


def _delete(call: Call) -> Answer:
    state, force = call.state, call.keys.get("ForceDeletion", False)
    if call.keys.get("DeleteAllUsers"):
        state.users = [user for user in state.users if not _may_delete(state, user, force)]
        return acknowledged()
    if not call.text("UserName"):
        raise Malformed("UserName is needed unless DeleteAllUsers is true")
    user = _named(call)
    if user.logged_in:
        raise Refusal(MDM, 12072, "The user is logged in.")
    if user.unsynced and not force:
        raise Refusal(MDM, 12073, "The user has data that is not synced.")
    if not _may_delete(state, user, force):
        raise Refusal(MDM, 12074, "The user could not be deleted: it is the last administrator.")
    state.users.remove(user)
    return acknowledged()


def _may_delete(state: DeviceState, user: User, force: bool) -> bool:
    last = user.admin and sum(other.admin for other in state.users) == 1
    return not (user.logged_in or last or (user.unsynced and not force))


def _unlock(call: Call) -> Answer:
    _named(call).locked_out = False
    return acknowledged()


def _log_out(call: Call) -> Answer:
    for user in call.state.users:
        user.logged_in = False
    return acknowledged()


def _named(call: Call) -> User:
    name = call.text("UserName")
    for user in call.state.users:
        if user.short_name == name:
            return user
    raise Refusal(MDM, 12071, f"There is no user “{name}”.")


# --- Setup Assistant ---


def _configure_accounts(call: Call) -> Answer:
    _require_setup(call)
    state = call.state
    for account in call.keys.get("AutoSetupAdminAccounts", ()):
        if not isinstance(account, dict) or "shortName" not in account:
            raise Malformed("AutoSetupAdminAccounts need a shortName")
    for account in call.keys.get("AutoSetupAdminAccounts", ()):
        state.users.append(
            _admin(state, str(account["shortName"]), str(account.get("fullName", "")))
        )
    return acknowledged()


def _admin(state: DeviceState, short_name: str, full_name: str) -> User:
    guid = uuid.UUID(hex=stable(state, f"admin {short_name}", 32), version=4)
    return User(
        short_name=short_name,
        full_name=full_name or short_name,
        guid=str(guid).upper(),
        uid=501 + len(state.users),
        admin=True,
        created_by_management=True,
    )


def _set_admin_password(call: Call) -> Answer:
    _require_ade(call)
    guid = call.text("GUID")
    for user in call.state.users:
        if user.created_by_management and user.guid == guid:
            return acknowledged()
    raise Refusal(MDM, 12071, f"There is no managed administrator “{guid}”.")


def _device_configured(call: Call) -> Answer:
    _require_setup(call)
    call.state.awaiting_configuration = False
    return acknowledged()


def _user_configured(call: Call) -> Answer:
    return acknowledged()


def _require_ade(call: Call) -> None:
    if not call.state.ade:
        text = "The device was not enrolled by Automated Device Enrollment."
        raise Refusal(MDM, 12007, text, cause=not_supervised())


def _require_setup(call: Call) -> None:
    _require_ade(call)
    if not call.state.awaiting_configuration:
        raise Refusal(MDM, 12010, "The device is not awaiting configuration.")


COMMANDS: Final = {
    "UserList": Command(run=_list, on=IOS | MAC, supervised=MAC, shared=True, awake=False),
    "DeleteUser": Command(
        run=_delete,
        on=IOS | MAC,
        supervised=MAC,
        shared=True,
        takes={"UserName": str, "ForceDeletion": bool, "DeleteAllUsers": bool},
        awake=False,
    ),
    "UnlockUserAccount": Command(
        run=_unlock, on=MAC, right=4, needs={"UserName": str}, awake=False
    ),
    "LogOutUser": Command(run=_log_out, on=IOS, shared=True),
    "AccountConfiguration": Command(
        run=_configure_accounts,
        on=MAC,
        takes={
            "SkipPrimarySetupAccountCreation": bool,
            "SetPrimarySetupAccountAsRegularUser": bool,
            "PrimaryAccountFullName": str,
            "PrimaryAccountUserName": str,
            "DontAutoPopulatePrimaryAccountInfo": bool,
            "LockPrimaryAccountInfo": bool,
            "AutoSetupAdminAccounts": list,
            "ManagedLocalUserShortName": str,
        },
    ),
    "SetAutoAdminPassword": Command(
        run=_set_admin_password, on=MAC, needs={"GUID": str, "passwordHash": bytes}
    ),
    "DeviceConfigured": Command(run=_device_configured, on=IOS | MAC | TV, supervised=IOS),
    "UserConfigured": Command(run=_user_configured, on=IOS, supervised=IOS, shared=True, ipad="U"),
}
