"""Apps: installing, their way to Managed, lists, configuration, removal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from appliance.simulator.answers import store
from appliance.simulator.answers.command import IOS, MAC, TV, Answer, Call, Command, acknowledged
from appliance.simulator.answers.mobileconfig import RESTRICTIONS
from appliance.simulator.errors import MDM, Malformed, Refusal
from appliance.simulator.state import App, DeviceState, ManagedApp

# How an app goes on each time its status is asked for.
_NEXT = {
    "Prompting": "Installing",
    "PromptingForManagement": "Managed",
    "Installing": "Managed",
    "Updating": "Managed",
}
_SOURCES = ("iTunesStoreID", "Identifier", "ManifestURL")


def managed_apps(state: DeviceState) -> dict[str, ManagedApp]:
    """Return the managed apps by bundle identifier, to read or to change."""
    if state.managed_apps is None:
        state.managed_apps = {}
    return state.managed_apps


def managed_app(state: DeviceState, identifier: str) -> ManagedApp:
    """Return one managed app; `Refusal` 12029 if there is none."""
    app = managed_apps(state).get(identifier)
    if app is None:
        raise Refusal(MDM, 12029, f"The app “{identifier}” is not managed.")
    return app


def _install(call: Call) -> Answer:
    state = call.state
    given = [key for key in _SOURCES if key in call.keys]
    if len(given) != 1:
        raise Malformed("exactly one of iTunesStoreID, Identifier, ManifestURL")
    app = _named(call, given[0])
    if _is_forbidden(state):
        raise _rejected(12031, "App installation is disabled.", "AppStoreDisabled", app)
    takes_over = call.keys.get("ChangeManagementState") == "Managed"
    known = managed_apps(state).get(app.identifier)
    if known and known.status != "Managed":
        raise _rejected(12025, "The app is queued already.", "AppAlreadyQueued", app)
    if known is None and app in state.apps and not takes_over:
        raise _rejected(12025, "The app is already installed.", "AppAlreadyInstalled", app)
    status = _first_status(state, known, app)
    managed_apps(state)[app.identifier] = ManagedApp(
        app=app,
        status=status,
        flags=call.keys.get("ManagementFlags", 0),
        configuration=call.keys.get("Configuration", known.configuration if known else None),
        attributes=call.keys.get("Attributes", known.attributes if known else None),
        enterprise=given[0] == "ManifestURL",
    )
    return acknowledged(Identifier=app.identifier, State=status)


def _named(call: Call, source: str) -> App:
    if source == "iTunesStoreID":
        return store.by_store_id(call.keys[source])
    if source == "Identifier":
        return store.by_identifier(call.text(source))
    if not call.text(source).lower().startswith("https://"):
        raise Refusal(MDM, 12034, "The manifest URL must begin with https:.")
    return _behind(call.text(source))


def _behind(url: str) -> App:
    try:
        return store.by_manifest_url(url)
    except ValueError as error:
        raise Refusal(MDM, 12030, f"The URL “{url}” is invalid.") from error


def _first_status(state: DeviceState, known: ManagedApp | None, app: App) -> str:
    if known:
        return "Updating"
    asks = state.is_ios and not state.supervised  # the user has to agree
    if app in state.apps:
        return "PromptingForManagement" if asks else "Managed"
    return "Prompting" if asks else "Installing"


def _is_forbidden(state: DeviceState) -> bool:
    return any(
        payload.content.get("allowAppInstallation") is False
        for profile in state.profiles.values()
        for payload in profile.payloads_of(*RESTRICTIONS)
    )


def _rejected(code: int, text: str, reason: str, app: App) -> Refusal:
    body = {"Identifier": app.identifier, "RejectionReason": reason}
    return Refusal(MDM, code, text, body=body)


def _install_enterprise(call: Call) -> Answer:
    manifest, url = call.keys.get("Manifest"), call.text("ManifestURL")
    if manifest is None and not url:
        raise Malformed("Manifest or ManifestURL is needed")
    app = _in_manifest(manifest) if manifest is not None else _behind(url)
    managed_apps(call.state)[app.identifier] = ManagedApp(
        app=app,
        flags=call.keys.get("ManagementFlags", 0),
        configuration=call.keys.get("Configuration"),
        enterprise=True,
    )
    return acknowledged()


def _in_manifest(manifest: dict[str, Any]) -> App:
    try:
        metadata = manifest["items"][0]["metadata"]
        known = store.by_identifier(str(metadata["bundle-identifier"]))
        name = str(metadata.get("title", known.name))
        version = str(metadata.get("bundle-version", known.version))
    except (LookupError, TypeError, AttributeError) as error:
        raise Refusal(MDM, 12033, "The manifest is invalid.") from error
    return App(identifier=known.identifier, name=name, version=version, size=known.size)


def _remove(call: Call) -> Answer:
    app = managed_app(call.state, call.text("Identifier"))
    del managed_apps(call.state)[app.app.identifier]
    call.state.apps = tuple(one for one in call.state.apps if one != app.app)
    return acknowledged()


def _managed_list(call: Call) -> Answer:
    listed = {}
    for app in _asked(call):
        listed[app.app.identifier] = {
            "Status": app.status,
            "ManagementFlags": app.flags,
            "HasConfiguration": app.configuration is not None,
            "HasFeedback": False,
            "IsValidated": True,
            "ExternalVersionIdentifier": app.app.store_id,
        }
        app.status = _NEXT.get(app.status, app.status)
    return acknowledged(ManagedApplicationList=listed)


def _asked(call: Call) -> Iterator[ManagedApp]:
    wanted = call.keys.get("Identifiers")
    for identifier, app in managed_apps(call.state).items():
        if wanted is None or identifier in wanted:
            yield app


def _installed_list(call: Call) -> Answer:
    state = call.state
    wanted, items = call.keys.get("Identifiers"), call.keys.get("Items")
    listed = [
        {key: value for key, value in entry.items() if items is None or key in items}
        for entry in _installed(state, only_managed=call.keys.get("ManagedAppsOnly", False))
        if wanted is None or entry["Identifier"] in wanted
    ]
    return acknowledged(InstalledApplicationList=listed)


def _installed(state: DeviceState, *, only_managed: bool) -> Iterator[dict[str, Any]]:
    managed = managed_apps(state)
    for app in managed.values():
        if app.status not in ("Prompting",):
            yield _installed_app(state, app.app, app)
    if not only_managed:
        yield from (
            _installed_app(state, app, None) for app in state.apps if app.identifier not in managed
        )


def _installed_app(state: DeviceState, app: App, managed: ManagedApp | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Identifier": app.identifier,
        "Name": app.name,
        "Version": app.version,
        "ShortVersion": app.version,
        "BundleSize": app.size,
        "Installing": managed is not None and managed.status == "Installing",
        "AppStoreVendable": app.store_id != 0,
        "DeviceBasedVPP": managed is not None and not managed.enterprise,
        "BetaApp": False,
        "AdHocCodeSigned": False,
        "HasUpdateAvailable": False,
        "IsValidated": True,
        "ExternalVersionIdentifier": app.store_id,
    }
    if not state.is_mac:
        entry |= {"DynamicSize": app.size // 20, "IsAppClip": False}
    return entry


def _attributes(call: Call) -> Answer:
    return acknowledged(
        ApplicationAttributes=[
            {"Identifier": app.app.identifier, "Attributes": app.attributes or {}}
            for app in _of(call.state, call.keys["Identifiers"])
        ]
    )


def _configuration(call: Call) -> Answer:
    return acknowledged(
        ApplicationConfigurations=[
            {"Identifier": app.app.identifier, "Configuration": app.configuration or {}}
            for app in _of(call.state, call.keys["Identifiers"])
        ]
    )


def _feedback(call: Call) -> Answer:
    return acknowledged(
        ManagedApplicationFeedback=[
            {"Identifier": app.app.identifier, "Feedback": {}}
            for app in _of(call.state, call.keys["Identifiers"])
        ]
    )


def _of(state: DeviceState, identifiers: Sequence[Any]) -> Iterator[ManagedApp]:
    return (app for app in managed_apps(state).values() if app.app.identifier in identifiers)


def _redeem(call: Call) -> Answer:
    app = managed_app(call.state, call.text("Identifier"))
    if app.status != "NeedsRedemption":
        raise Refusal(MDM, 12028, "The app is not waiting for a redemption code.")
    app.status = "Installing"
    return acknowledged()


def _validate(call: Call) -> Answer:
    return acknowledged()


COMMANDS: Final = {
    "InstallApplication": Command(
        run=_install,
        right=4096,
        channels="DU",
        takes={
            "iTunesStoreID": int,
            "Identifier": str,
            "ManifestURL": str,
            "Options": dict,
            "ManagementFlags": int,
            "Configuration": dict,
            "Attributes": dict,
            "ChangeManagementState": str,
            "InstallAsManaged": bool,
            "iOSApp": bool,
        },
        unlocked=True,
    ),
    "InstallEnterpriseApplication": Command(
        run=_install_enterprise,
        on=MAC,
        right=4096,
        takes={
            "Manifest": dict,
            "ManifestURL": str,
            "ManifestURLPinningCerts": list,
            "ManagementFlags": int,
            "Configuration": dict,
        },
    ),
    "RemoveApplication": Command(run=_remove, right=4096, needs={"Identifier": str}, unlocked=True),
    "ManagedApplicationList": Command(
        run=_managed_list, right=4096, channels="DU", takes={"Identifiers": list}
    ),
    "InstalledApplicationList": Command(
        run=_installed_list,
        right=256,
        channels="DU",
        takes={"Identifiers": list, "ManagedAppsOnly": bool, "Items": list},
        lost=True,
    ),
    "ManagedApplicationAttributes": Command(
        run=_attributes, on=IOS | TV, right=4096, needs={"Identifiers": list}
    ),
    "ManagedApplicationConfiguration": Command(
        run=_configuration, right=4096, needs={"Identifiers": list}
    ),
    "ManagedApplicationFeedback": Command(
        run=_feedback,
        right=4096,
        channels="U",
        needs={"Identifiers": list},
        takes={"DeleteFeedback": bool},
    ),
    "ApplyRedemptionCode": Command(
        run=_redeem,
        on=IOS,
        right=4096,
        needs={"Identifier": str, "RedemptionCode": str},
        ipad="",
        unlocked=True,
    ),
    "ValidateApplications": Command(
        run=_validate, on=IOS | TV, right=4096, takes={"Identifiers": list}
    ),
}
