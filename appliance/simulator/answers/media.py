"""Books, the invitation to Apple's volume purchases, and cellular plans."""

from __future__ import annotations

from typing import Any, Final

from appliance.simulator.answers.command import IOS, MAC, Answer, Call, Command, acknowledged
from appliance.simulator.errors import MDM, Malformed, Refusal
from appliance.simulator.state import Book


def _install(call: Call) -> Answer:
    store_id, url = call.keys.get("iTunesStoreID"), call.text("MediaURL")
    if store_id is None and not url:
        raise Malformed("iTunesStoreID or MediaURL is needed")
    named = {
        key: call.keys[key]
        for key in ("iTunesStoreID", "MediaURL", "PersistentID")
        if key in call.keys
    }
    if call.text("MediaType") != "Book":
        body = {**named, "RejectionReason": "WrongMediaType"}
        raise Refusal(MDM, 12044, "The media type is invalid.", body=body)
    book = Book(
        store_id=store_id,
        persistent_id=call.keys.get("PersistentID"),
        kind=call.text("Kind") or "epub",
        title=call.text("Title") or url.rpartition("/")[2] or "Book",
        author=call.text("Author"),
        version=call.text("Version") or "1.0",
    )
    call.state.books = (*_others(call, store_id, book.persistent_id), book)
    return acknowledged(**named, MediaType="Book", State=_state(store_id))


def _state(store_id: int | None) -> str:
    return "Managed" if store_id is None else "Installed"


def _remove(call: Call) -> Answer:
    # Apple's schema has the store's number as a string here and as an integer elsewhere.
    call.state.books = _others(call, call.keys.get("iTunesStoreID"), call.keys.get("PersistentID"))
    return acknowledged()


def _others(call: Call, store_id: object, persistent_id: str | None) -> tuple[Book, ...]:
    return tuple(
        book
        for book in call.state.books
        if not (store_id is not None and str(book.store_id) == str(store_id))
        and not (persistent_id is not None and book.persistent_id == persistent_id)
    )


def _list(call: Call) -> Answer:
    return acknowledged(Books=[_listed(book) for book in call.state.books])


def _listed(book: Book) -> dict[str, Any]:
    entry = {
        "iTunesStoreID": book.store_id,
        "PersistentID": book.persistent_id,
        "State": _state(book.store_id),
        "Kind": book.kind,
        "Version": book.version,
        "Author": book.author,
        "Title": book.title,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _invite(call: Call) -> Answer:
    if call.text("ProgramID") != "com.apple.cloudvpp":
        return acknowledged(InvitationResult="InvalidProgramID")
    if not call.text("InvitationURL").startswith("https://"):
        return acknowledged(InvitationResult="InvalidInvitationURL")
    return acknowledged(InvitationResult="Acknowledged")


def _refresh_plans(call: Call) -> Answer:
    if call.state.cellular is None:
        raise Refusal(MDM, 12021, "The device has no cellular modem.")
    return acknowledged()


COMMANDS: Final = {
    "InstallMedia": Command(
        run=_install,
        on=IOS | MAC,
        right=4096,
        channels="U",
        needs={"MediaType": str},
        takes={
            "iTunesStoreID": int,
            "MediaURL": str,
            "PersistentID": str,
            "Kind": str,
            "Version": str,
            "Author": str,
            "Title": str,
        },
        unlocked=True,
    ),
    "RemoveMedia": Command(
        run=_remove,
        on=IOS,
        right=4096,
        needs={"MediaType": str},
        takes={"iTunesStoreID": str, "PersistentID": str},
        unlocked=True,
    ),
    "ManagedMediaList": Command(run=_list, on=IOS, right=4096),
    "InviteToProgram": Command(
        run=_invite,
        on=IOS | MAC,
        right=4096,
        right_on=IOS,
        channels="U",
        ipad="U",
        needs={"ProgramID": str, "InvitationURL": str},
        unlocked=True,
    ),
    "RefreshCellularPlans": Command(
        run=_refresh_plans, on=IOS, needs={"eSIMServerURL": str}, unlocked=True
    ),
}
