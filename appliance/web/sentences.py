"""What happened, as a sentence for people: one entry for every kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from appliance.web.languages import Catalogue, text
from appliance.web.refusals import refusal_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """How a kind of event reads and looks; `tone` is a class of board.css."""

    text: str  # English, with the places %(device)s, and %(name)s of the event's data
    icon: str
    tone: str = ""


def _entry(message: str, icon: str, tone: str = "") -> Sentence:
    return Sentence(text=message, icon=icon, tone=tone)


# By kind; or by kind and `status` of the data, where that decides what is to be said.
SENTENCES: Mapping[str, Sentence] = {
    "device.authenticated": _entry(text("%(device)s began to enroll"), "waiting", "busy"),
    "device.enrolled": _entry(text("%(device)s enrolled"), "ok", "ok"),
    "device.checked_out": _entry(text("%(device)s removed its management"), "left", "warn"),
    "device.identity_renewed": _entry(text("%(device)s renewed its identity"), "certificate"),
    "device.moved": _entry(
        text("%(device)s was moved here from another server"), "enroll", "busy"
    ),
    "device.arrived": _entry(
        text("%(device)s came here with the identity of its former server"), "ok", "ok"
    ),
    "device.arrival_refused": _entry(
        text("%(device)s was moved here and came with a certificate that does not count: "
             "%(certificate_sha256)s of %(issuer)s"),
        "certificate", "bad",
    ),
    "former_authority.trusted": _entry(
        text("For devices that were moved here, certificates of %(subject)s count"),
        "certificate", "warn",
    ),
    "former_authority.distrusted": _entry(
        text("Certificates of a former authority count no more"), "certificate"
    ),
    "device.renewal_sent": _entry(
        text("%(device)s is sent what renews its identity"), "certificate"
    ),
    "device.authenticate_refused": _entry(
        text("%(device)s was refused: it came with another certificate than it enrolled with"),
        "bad", "bad",
    ),
    "device.unknown": _entry(
        text("The device %(id)s enrolled here once, and is not known: let it enroll again"),
        "warn", "warn",
    ),
    "device.message_too_large": _entry(
        text("%(device)s sends a message larger than %(kib)s KiB, which is not taken: set "
             "%(limit)s higher"),
        "bad", "bad",
    ),
    "device.blocked": _entry(text("%(device)s was blocked"), "blocked", "bad"),
    "device.unblocked": _entry(text("%(device)s was unblocked"), "ok"),
    "device.forgotten": _entry(text("%(device)s was forgotten"), "left"),
    "device.reenrollment_allowed": _entry(
        text("%(device)s may enroll anew with another certificate"), "enroll"
    ),
    "command.queued": _entry(text("%(request_type)s waits for %(device)s"), "command", "busy"),
    "command.queued.sent": _entry(
        text("%(request_type)s is with %(device)s"), "command", "busy"
    ),
    "command.queued.not_now": _entry(
        text("%(device)s puts %(request_type)s off for now"), "silent", "warn"
    ),
    "command.finished.acknowledged": _entry(
        text("%(device)s answered %(request_type)s"), "ok", "ok"
    ),
    "command.finished.error": _entry(text("%(device)s refused %(request_type)s"), "bad", "bad"),
    "command.finished.format_error": _entry(
        text("%(device)s did not understand %(request_type)s"), "bad", "bad"
    ),
    "command.finished.cancelled": _entry(
        text("%(request_type)s for %(device)s was cancelled"), "blocked"
    ),
    "command.finished.expired": _entry(
        text("%(request_type)s for %(device)s expired"), "waiting", "warn"
    ),
    "command.ordered": _entry(
        text("%(by)s sent %(request_type)s to %(device)s: “%(reason)s”"), "command"
    ),
    "command.ordered.unexplained": _entry(
        text("%(by)s sent %(request_type)s to %(device)s"), "command"
    ),
    "secret.shown": _entry(
        text("%(by)s looked at the secrets of %(request_type)s on %(device)s: “%(reason)s”"), "key",
        "warn",
    ),
    "command.cancelled": _entry(text("A command was cancelled"), "blocked"),
    "command.released": _entry(
        text("%(by)s released %(request_type)s for %(device)s after the restore"), "command", "warn"
    ),
    "backup.created": _entry(text("A backup was made"), "database", "ok"),
    "backup.restored": _entry(
        text("The server was restored from a backup of %(backup_of)s"), "database", "warn"
    ),
    "vault.rotated": _entry(
        text("All secrets (%(secrets)s) were sealed with a new key"), "key", "warn"
    ),
    "certificate.issued": _entry(
        text("The identity certificate %(serial)s was issued"), "certificate"
    ),
    "certificate.refused": _entry(
        text("A device got no identity certificate. %(reason)s"), "certificate", "bad"
    ),
    "certificate.revoked": _entry(
        text("The identity certificate %(serial)s was revoked"), "certificate", "bad"
    ),
    "push_certificate.imported": _entry(text("A push certificate was imported"), "push", "ok"),
    "link.created": _entry(text("An enrollment link was made"), "link"),
    "link.revoked": _entry(text("An enrollment link was withdrawn"), "link"),
    "link.opened": _entry(text("An enrollment link was opened"), "link"),
    "link.refused": _entry(
        text("An enrollment link that is no longer valid was opened"), "link", "warn"
    ),
    "link.profile_fetched": _entry(
        text("An enrollment profile was downloaded"), "download", "busy"
    ),
    "link.device_identified": _entry(
        text("A device proved that it is %(serial_number)s"), "certificate", "ok"
    ),
    "link.device_identified.signed": _entry(
        text("A message that %(serial_number)s signed asked for a profile"), "certificate"
    ),
    "link.device_identified.unproven": _entry(
        text("A device says that it is %(serial_number)s; nothing proves it"), "certificate", "warn"
    ),
    "webhook.added": _entry(text("%(by)s added the webhook %(id)s"), "push"),
    "webhook.rotated": _entry(text("%(by)s gave the webhook %(id)s another secret"), "push"),
    "webhook.removed": _entry(text("%(by)s removed the webhook %(id)s"), "push"),
    "webhook.disabled": _entry(
        text("The webhook %(id)s was disabled: %(problem)s"), "push", "bad"
    ),
    "webhook.replayed": _entry(
        text("%(by)s had %(count)s events sent to the webhook %(id)s again"), "push"
    ),
    "token.created": _entry(text("The API token “%(name)s” was made"), "key"),
    "token.revoked": _entry(text("The API token “%(name)s” was revoked"), "key"),
    "user.created": _entry(text("The user “%(name)s” was added"), "user"),
    "user.removed": _entry(text("The user “%(name)s” was removed"), "user"),
    "user.password_changed": _entry(text("The password of “%(name)s” was changed"), "user"),
    "user.signed_out": _entry(text("“%(name)s” signed out everywhere"), "user"),
    "user.session_ended": _entry(text("A session of “%(name)s” ended"), "user"),
    "user.signed_in": _entry(text("“%(name)s” signed in"), "user"),
    "user.sign_in_failed": _entry(text("Signing in from %(address)s failed"), "lock", "warn"),
}  # fmt: skip

_UNKNOWN = Sentence(text=text("Something happened: %(kind)s"), icon="activity")
_LONGEST_VALUE = 120


def sentence_of(kind: str, data: Mapping[str, Any]) -> Sentence:
    """Return the sentence of an event; one of another release is named by its kind."""
    status = data.get("status")
    if kind == "command.ordered" and not data.get("reason"):
        status = "unexplained"
    return SENTENCES.get(f"{kind}.{status}") or SENTENCES.get(kind) or _UNKNOWN


def sentence(
    catalogue: Catalogue, kind: str, data: Mapping[str, Any], device: Markup, request: Markup
) -> Markup:
    """Return the sentence of an event as HTML.

    Args:
        device: what stands for the devices, usually links; everything else is escaped here.
        request: what stands for the command, if it is about one.
    """
    values = {key: str(value)[:_LONGEST_VALUE] for key, value in data.items()}
    if kind == "certificate.refused":
        values["reason"] = catalogue.gettext(refusal_of(values.get("reason", "…")).cause)
    message = catalogue.gettext(sentence_of(kind, data).text)
    places = _Values({**values, "kind": kind, "device": device, "request_type": request})
    return Markup(escape(message)) % places  # noqa: S704 - escaped


class _Values(dict[str, Any]):
    """The places of a sentence; what an old event does not say is left open."""

    def __missing__(self, key: str) -> str:
        return "…"
