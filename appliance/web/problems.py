"""What services and checks say of a request that fails, in the language of the page's reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from appliance.web.languages import Catalogue, text
from appliance.web.reasons import pattern_of

# As `services/` and `web/` word them; tests hold them together.
_OF_REQUESTS = (
    text("no device %(name)s"),
    text("no command %(name)s"),
    text("no enrollment link %(name)s"),
    text("no question %(name)s"),
    text("see `appliance device list`"),
    text("see `appliance device history DEVICE`"),
    text("see `appliance enroll list`"),
    text("several enrolled devices are called %(name)s"),
    text("name one by its ID: %(ids)s"),
    text("%(device)s is not enrolled: %(state)s"),
    text("it takes commands again once it has enrolled anew"),
    text("%(device)s has had a command %(command)s"),
    text("%(device)s has escrowed no unlock token"),
    text("command %(command)s can no longer be cancelled"),
    text("command %(command)s is not held"),
    text("command %(command)s holds no secret"),
    text("neither it nor its answer does; a command that held one is emptied when over"),
    text("a reason is required"),
    text("%(count)s secrets were shown to you within an hour"),
    text("%(count)s dangerous commands an hour were ordered by you"),
    text("that no stolen session or token can erase a whole fleet"),
    text(
        "come back later, or raise limits.dangerous_per_hour; on the server itself they are not "
        "counted"
    ),
    text("%(name)s must be confirmed"),
    text(
        "repeat it with confirm.serial_number, on the command line --confirm, set to the "
        "device's serial number, or to its ID where it has none"
    ),
    text("come back later; what is needed at once, another administrator can look up"),
    text("there is no push certificate"),
    text("import one with `appliance push-cert import`"),
    text("%(name)s is not a request type"),
    text("did you mean %(name)s?"),
    text("see the list of request types: appliance command types"),
    text("a reason has at most %(count)s characters"),
    text("the cursor is not one of ours"),
    text("the form is not of a page that you opened in this session"),
    text("open the page again and repeat"),
    text("the form cannot be read"),
    text("a form is %(type)s"),
    text("a form with files is multipart/form-data of a known length"),
    text("the form is larger than %(count)s bytes"),
    text("the body is larger than %(count)s bytes"),
    text("the body did not arrive in time"),
    text("the body ended early"),
    text("too many long messages at the same time"),
    text("the store cannot be read now: %(cause)s"),
    text("the store cannot write now: %(cause)s"),
    text("the store has failed; the server is stopping"),
    text("try again in a few seconds"),
)
# As `wire/plist_reader.py` words them, of what can be typed into a form.
_OF_PROPERTY_LISTS = (
    text("not well-formed XML: %(cause)s, line %(line)s"),
    text("the encoding is not UTF-8"),
    text("binary property lists are not accepted, send XML"),
    text("a DTD subset is not accepted"),
    text("the DOCTYPE is not Apple's"),
    text("undeclared entity &%(name)s;"),
    text("the property list is not a dictionary"),
    text("not exactly one value in one <plist>"),
    text("nested more than %(count)s levels deep"),
    text("unknown element <%(name)s>"),
    text("unknown attribute of <%(name)s>"),
    text("an element inside <%(name)s>"),
    text("text between elements"),
    text("a key where a value belongs"),
    text("a value without a key"),
    text("an <integer> is not a number"),
    text("an <integer> does not fit 64 bits"),
    text("a <real> is not a number"),
    text("a <date> is not YYYY-MM-DDThh:mm:ssZ"),
    text("a <data> is not base64"),
    text("a <true/> or <false/> with content"),
)
# As `mdm/catalogue/` and `wire/plist.py` word them; they may follow the key that they are about.
_OF_VALUES = (
    text("is required"),
    text("exactly one of %(names)s is required"),
    text("one of %(names)s is required"),
    text("%(name)s is required unless %(flag)s is true"),
    text("excludes %(name)s"),
    text("give only one"),
    text("must have %(count)s characters"),
    text("must have %(least)s to %(most)s elements"),
    text("must have %(least)s to %(most)s bytes"),
    text("must be between %(least)s and %(most)s"),
    text("must begin with https://"),
    text("must be a finite number"),
    text("must be %(wanted)s, not %(given)s"),
    text("%(value)s is not allowed"),
    text("%(value)s is not known"),
    text("is not a known key"),
    text("it has no keys"),
    text("one of: %(names)s"),
    text("nested deeper than %(count)s levels"),
    text("holds a character that XML cannot carry"),
    text("does not fit in 64 bits"),
    text("is not JSON: %(error)s"),
    text("is not base64"),
    text("encode the bytes in base64"),
    text("is not a date and time"),
    text("lacks its time zone"),
    text("end it with Z"),
    text("give %(wanted)s"),
    text("is missing"),
    text("has no value"),
    text("appears twice"),
    text("is not a string"),
    text("is not a dictionary"),
    text("is not the name of a command"),
    text("is not 1 to %(count)s printable characters"),
)
_KINDS = frozenset(
    {
        text("a text"),
        text("an integer"),
        text("a number"),
        text("true or false"),
        text("data in base64"),
        text("a date and time such as 2026-01-31T12:00:00Z"),
        text("a list"),
        text("an object"),
        text("a value"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A problem in the words of the page; `subject` is the key that it is about, if any."""

    words: str
    subject: str = ""
    is_english: bool = False  # whatever the language of the page is


def said(catalogue: Catalogue, problem: str) -> Said:
    """Return `problem` in the language of `catalogue`, one that is not known as it is."""
    for message, pattern in _patterns():
        match = pattern.fullmatch(problem)
        if match is not None:
            values = match.groupdict()
            subject = values.pop("subject", "") or ""
            return Said(words=_filled(catalogue, message, values), subject=subject)
    return Said(words=problem, is_english=True)


def _filled(catalogue: Catalogue, message: str, values: Mapping[str, str]) -> str:
    own = {
        name: catalogue.gettext(value) if value in _KINDS else value
        for name, value in values.items()
    }
    return catalogue.gettext(message) % own


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    about_values = [(one, pattern_of(one, r"(?:(?P<subject>[^ ]+): )?")) for one in _OF_VALUES]
    whole = [(one, pattern_of(one)) for one in _OF_REQUESTS + _OF_PROPERTY_LISTS]
    return whole + about_values
