"""Enrolling: links, and the profiles that carry a fresh one-time challenge each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.config import Config, ScepConfig
from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.services.ca import challenge_sha256, new_challenge, profile_reference
from appliance.services.clock import DAY, MINUTE, is_behind, now_ms
from appliance.services.codes import new_code, normalise
from appliance.services.profiles import Profiles
from appliance.services.push_certificates import PushCertificates
from appliance.services.repeats import Repeats, Request
from appliance.store import certificates, events, journeys, links
from appliance.store.database import Connection, Database
from appliance.store.events import Event
from appliance.store.journeys import Journey
from appliance.store.links import EnrollmentLink

_DEFAULT_EXPIRY = "7d"
_LONGEST_EXPIRY_MS = 365 * DAY
_MOST_USES = 100_000
_CODE_LENGTH = 16
_UNITS_MS = {"s": 1000, "m": MINUTE, "h": 60 * MINUTE, "d": DAY, "w": 7 * DAY}
_JOURNEYS_SHOWN = 20
_JOURNEYS_LISTED = 3
_LISTED = 50
_RECENT = 100  # events of a link
_TROUBLES = ("certificate.refused", "link.refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStory:
    """A link, and what became of it, newest first."""

    link: EnrollmentLink
    journeys: list[Journey]
    troubles: list[Event]  # `certificate.refused`, and `link.refused`: opened when it was over


class EnrollingService:
    """Makes links, and profiles from links."""

    def __init__(
        self,
        database: Database,
        config: Config,
        profiles: Profiles,
        push_certificates: PushCertificates,
        repeats: Repeats,
    ) -> None:
        self._database = database
        self._config = config
        self._profiles = profiles
        self._push_certificates = push_certificates
        self._repeats = repeats

    def url(self, code: str) -> str:
        """Return the address of the page that a person opens."""
        return f"{self._config.server.base_url}/e/{code}"

    def profile_url(self, code: str) -> str:
        """Return the address of the enrollment profile itself."""
        return f"{self.url(code)}/enroll.mobileconfig"

    async def create_link(
        self,
        *,
        uses: int = 1,
        expires_in: int | str | None = None,
        label: str = "",
        request: Request | None = None,
    ) -> EnrollmentLink:
        """Make a link for `uses` devices.

        Args:
            expires_in: seconds, or text such as "7d" or "12h"; 7 days if None.
            request: what may be repeated, and makes one link.

        Raises:
            InvalidRequest: a number out of range, or a key that was used for something else.
        """
        if not 1 <= uses <= _MOST_USES:
            raise InvalidRequest(f"uses must be between 1 and {_MOST_USES}", pointer="/uses")
        if len(label) > 200:
            raise InvalidRequest("the label is longer than 200 characters", pointer="/label")
        now = now_ms()
        expires_at = now + _duration_ms(_DEFAULT_EXPIRY if expires_in is None else expires_in)
        code = new_code(_CODE_LENGTH)

        def make(db: Connection) -> EnrollmentLink:
            links.add(db, code, label=label, uses=uses, now=now, expires_at=expires_at)
            data = {"label": label, "uses": uses}
            events.add(db, "link.created", now, link=links.reference(code), data=data)
            return links.get(db, code, now)

        def unit(db: Connection) -> EnrollmentLink:
            return self._repeats.once(db, request, lambda: make(db), EnrollmentLink)

        return await self._database.write(unit)

    async def links(
        self, cursor: str | None, limit: int
    ) -> tuple[list[EnrollmentLink], str | None]:
        """Return the links, newest first, and the cursor of the next page, None after the last."""
        now = now_ms()
        found = await self._database.read(
            lambda db: links.all_links(db, now, after=cursor or None, limit=limit + 1)
        )
        return found[:limit], found[limit - 1].code if len(found) > limit else None

    async def stories(self) -> list[LinkStory]:
        """Return the links, newest first, with what happened last by each of the newest."""
        now = now_ms()

        def unit(db: Connection) -> list[LinkStory]:
            found = links.all_links(db, now)
            return [
                _story(db, link, journeys_shown=_JOURNEYS_LISTED)
                if link.state == "open" and place < _LISTED
                else LinkStory(link=link, journeys=[], troubles=[])
                for place, link in enumerate(found)
            ]

        return await self._database.read(unit)

    async def story(self, name: str) -> LinkStory:
        """Return one link, by its reference or its code, with what happened by it.

        Raises:
            NotFound: there never was such a link.
        """
        now = now_ms()

        def unit(db: Connection) -> LinkStory:
            link = links.by_reference(db, name, now) or links.get(db, normalise(name), now)
            return _story(db, link, journeys_shown=_JOURNEYS_SHOWN)

        return await self._database.read(unit)

    async def progress(self, code: str, visit: str | None) -> tuple[EnrollmentLink, list[Journey]]:
        """Return a link with the journeys of one opened page, or of all if it is None.

        Raises:
            NotFound: there never was such a link.
        """
        now = now_ms()

        def unit(db: Connection) -> tuple[EnrollmentLink, list[Journey]]:
            link = links.get(db, normalise(code), now)
            reference = links.reference(link.code)
            happened = journeys.read(db, reference, limit=_JOURNEYS_SHOWN)
            return link, journeys.of_events(db, happened, visit=visit, limit=_JOURNEYS_SHOWN)

        return await self._database.read(unit)

    async def link(self, code: str) -> EnrollmentLink:
        """Return one link.

        Raises:
            NotFound: there never was such a link.
        """
        now = now_ms()
        return await self._database.read(lambda db: links.get(db, normalise(code), now))

    async def open_link(self, code: str) -> EnrollmentLink:
        """Return one link by which a device may enroll now.

        Raises:
            NotFound: there never was such a link.
            Conflict: `link.closed`.
        """
        link = await self.link(code)
        if link.state != "open":
            raise Conflict(
                f"the enrollment link is {link.state.replace('_', ' ')}",
                code="link.closed",
                fix="ask for a new link",
            )
        return link

    async def revoke_link(self, code: str) -> EnrollmentLink:
        """Revoke a link, every challenge that came of it, and every certificate not used yet.

        Raises:
            NotFound: there never was such a link.
        """
        now = now_ms()

        def unit(db: Connection) -> EnrollmentLink:
            link = links.get(db, normalise(code), now)
            links.revoke(db, link.code, now)
            certificates.revoke_unused_of(db, link.code, now)
            events.add(db, "link.revoked", now, link=links.reference(link.code))
            return links.get(db, link.code, now)

        return await self._database.write(unit)

    async def opened(self, link: EnrollmentLink, platform: str) -> None:
        """Record that somebody has the page of the link open; once a minute is enough."""
        now, reference = now_ms(), links.reference(link.code)
        kind = "link.opened" if link.state == "open" else "link.refused"

        def unit(db: Connection) -> None:
            if not events.happened(db, kind, link=reference, since=now - MINUTE):
                data = {"platform": platform, "state": link.state}
                events.add(db, kind, now, link=reference, data=data)

        await self._database.write(unit)

    async def topic(self) -> str | None:
        """Return the push topic of new enrollments; None: nobody can enroll yet."""
        return await self._push_certificates.topic()

    def clock_is_wrong(self) -> bool:
        """Tell whether nobody can enroll because the clock is certainly wrong."""
        return is_behind(now_ms())

    async def profile(self, code: str, visit: str = "") -> bytes:
        """Return a signed enrollment profile with a challenge of this link.

        Args:
            visit: of the page that it is downloaded from, by which that page finds it again.

        Raises:
            NotFound: there never was such a link.
            Conflict: `link.closed`, or `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        link = await self.open_link(code)
        return await self._profile(link=link, visit=visit)

    async def open_profile(self) -> bytes:
        """Return a signed enrollment profile for anybody, where the configuration allows it.

        Raises:
            NotFound: enrollment is not open.
            Conflict: `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        if not self._config.enroll.open:
            raise NotFound("enrollment_link", "open")
        return await self._profile(link=None)

    async def trust(self) -> bytes:
        """Return the signed profile that installs our trust anchor, and nothing else."""
        return await self._profiles.trust()

    async def renewal_profile(self) -> tuple[bytes, bytes]:
        """Return a signed enrollment profile, and the SHA-256 of its challenge.

        That is good once the caller has stored it: together with what sends the profile.

        Raises:
            Conflict: `push_certificate.missing`.
            ClockWrong: a certificate made now would be of no use.
        """
        topic = await self._profiles.topic()
        challenge = new_challenge()
        return await self._profiles.enrollment(topic, challenge), challenge_sha256(challenge)

    async def _profile(self, *, link: EnrollmentLink | None, visit: str = "") -> bytes:
        topic = await self._profiles.topic()
        challenge = new_challenge()
        now = now_ms()
        expires_at = challenge_expiry(self._config.scep, link, now)
        sha256 = challenge_sha256(challenge)

        def unit(db: Connection) -> None:
            code = None if link is None else link.code
            links.add_challenge(
                db, sha256, link_code=code, issued_for=None, now=now, expires_at=expires_at
            )
            if code is not None:
                data = {"profile": profile_reference(sha256)} | ({"visit": visit} if visit else {})
                reference = links.reference(code)
                events.add(db, "link.profile_fetched", now, link=reference, data=data)

        await self._database.write(unit)
        return await self._profiles.enrollment(topic, challenge)


def challenge_expiry(config: ScepConfig, link: EnrollmentLink | None, now: int) -> int:
    """Return until when a challenge made now is good, Unix ms: never longer than its link."""
    expires_at = now + config.challenge_minutes * MINUTE
    if link is None or link.expires_at is None:
        return expires_at
    return min(expires_at, int(link.expires_at.timestamp() * 1000))


def _story(db: Connection, link: EnrollmentLink, *, journeys_shown: int) -> LinkStory:
    happened = journeys.read(db, links.reference(link.code), limit=journeys_shown)
    return LinkStory(
        link=link,
        journeys=journeys.of_events(db, happened, limit=journeys_shown),
        troubles=[event for event in happened[:_RECENT] if event.kind in _TROUBLES],
    )


def _duration_ms(value: int | str) -> int:
    """Read seconds, or a number with one of the units s, m, h, d and w."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw]?)\s*", str(value))
    milliseconds = 0 if match is None else int(match[1]) * _UNITS_MS[match[2] or "s"]
    if not 0 < milliseconds <= _LONGEST_EXPIRY_MS:
        raise InvalidRequest(
            f"{value!r} is not a time between 1 second and 365 days",
            pointer="/expires_in",
            fix='give seconds, or text such as "7d" or "12h"',
        )
    return milliseconds
