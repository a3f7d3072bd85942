"""What is wrong with a property list of one's own, in the language of the page's reader."""

from __future__ import annotations

import re

import pytest

from .conftest import Office

_COMMAND = "<key>Command</key><dict><key>RequestType</key><string>{}</string></dict>"
_UUID = "<key>CommandUUID</key>"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "bplist00",
        '<?xml version="1.0" encoding="utf-16"?><plist/>',
        "<!DOCTYPE plist [<!ENTITY a 'b'>]><plist/>",
        "<!DOCTYPE html><plist/>",
        '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
        '"http://www.apple.com/DTDs/PropertyList-1.0.dtd"><plist>&a;</plist>',
        "<plist>",
        "<plist><string>a</string></plist>",
        "<plist><dict/><dict/></plist>",
        f"<plist>{'<array>' * 99}{'</array>' * 99}</plist>",
        "<plist><set/></plist>",
        "<plist><dict a='b'/></plist>",
        "<plist><string><dict/></string></plist>",
        "<plist><dict>a</dict></plist>",
        "<plist><array><key>a</key></array></plist>",
        "<plist><dict><true/></dict></plist>",
        "<plist><integer>a</integer></plist>",
        f"<plist><integer>{1 << 64}</integer></plist>",
        "<plist><real>a</real></plist>",
        "<plist><date>a</date></plist>",
        "<plist><data>%</data></plist>",
        "<plist><true>a</true></plist>",
        "<plist><dict><key>a</key></dict></plist>",
        "<plist><dict><key>a</key><true/><key>a</key><true/></dict></plist>",
        "<plist><dict/></plist>",
        "<plist><dict><key>Command</key><true/></dict></plist>",
        f"<plist><dict>{_COMMAND.format('')}</dict></plist>",
        f"<plist><dict>{_COMMAND.format('ProfileList')}</dict></plist>",
        f"<plist><dict>{_COMMAND.format('ProfileList')}{_UUID}<true/></dict></plist>",
        f"<plist><dict>{_COMMAND.format('ProfileList')}{_UUID}<string/></dict></plist>",
    ],
)
async def test_no_fault_of_a_property_list_is_left_in_english(office: Office, content: str) -> None:
    fields = {"how": "plist", "plist": content}
    path, japanese = "/devices/one/send/ProfileList", {"Accept-Language": "ja"}
    answer = await office.browser.submit(path, fields, **japanese)
    (exact,) = re.findall(r'class="exact">(.*?)</span></span></p>', answer.text, re.DOTALL)
    assert re.search("[ぁ-ん]", exact) and 'lang="en"' not in exact, exact
    assert office.commands() == []
