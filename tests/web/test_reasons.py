"""Reasons of the catalogue are said in the reader's language, every one of them."""

from __future__ import annotations

from itertools import product
from typing import get_args

from appliance.mdm.catalogue import catalogue, check_support, lacking
from appliance.mdm.catalogue.spec import KeySpec
from appliance.mdm.device import DeviceFacts, Platform
from appliance.web.reasons import reason_of


def test_no_reason_is_left_in_english() -> None:
    said = set()
    for platform, version, known in product(
        (*get_args(Platform), None), ("4.0", "17.2", "99.0", None), (True, False, None)
    ):
        facts = DeviceFacts(
            platform=platform, os_version=version, is_supervised=known, is_apple_silicon=known,
            shared_ipad=known, is_user_enrollment=known is True,
        )  # fmt: skip
        for spec, user in product(catalogue().values(), (True, False)):
            support = check_support(spec, facts, user_channel=user)
            said |= {*support.refusals, *support.warnings}
            said |= {reason for key in spec.keys.values() for reason in reasons(key, facts)}
    assert len(said) > 500
    assert [reason for reason in said if reason_of(reason).message == "%(said)s"] == []


def reasons(key: KeySpec, facts: DeviceFacts) -> list[str]:
    """Why the device lacks a key or what stands right below it."""
    below = [*key.keys.values(), *(key.element.variants.values() if key.element else ())]
    return [reason for one in (key, *below) for reason in lacking(one, facts)]
