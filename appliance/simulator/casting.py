"""Who the simulated devices are: the same seed and index always give the same device."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

from appliance.simulator import models
from appliance.simulator.answers import store
from appliance.simulator.models import Model, System
from appliance.simulator.state import Cellular, DeviceState, Mac, Platform, User

T = TypeVar("T")

_PEOPLE: Final = (
    ("Yuki Tanaka", "ja_JP"),
    ("Amara Okafor", "en_GB"),
    ("Lena Fischer", "de_DE"),
    ("Noor Haddad", "en_US"),
    ("Kenji Mori", "ja_JP"),
    ("Tomás Rivera", "es_ES"),
    ("Priya Nair", "en_GB"),
    ("Élodie Laurent", "fr_FR"),
    ("Sora Kim", "ko_KR"),
    ("Oskar Lindqvist", "sv_SE"),
    ("Mei Chen", "zh_TW"),
    ("Hana Sato", "ja_JP"),
)
_TIME_ZONES: Final = {"ja_JP": "Asia/Tokyo", "en_US": "America/New_York", "en_GB": "Europe/London"}
_PLACES: Final = ("Meeting room", "Lobby", "Kitchen", "Lecture hall", "Studio", "Boardroom")
_DUTIES: Final = ("reception", "front-desk", "warehouse", "signage", "inventory", "checkout")
_ALPHABET: Final = "0123456789CDFGHJKLMNPQRTVWXY"  # of serial numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Role:
    """What is fixed about a device before chance fills in the rest."""

    name: str
    model: Model
    system: System
    person: int = 0  # index into _PEOPLE
    supervised: bool = True
    apps: tuple[Any, ...] = ()
    behavior: tuple[tuple[str, Any], ...] = ()  # fields of DeviceState


_DEMO: Final = (
    _Role(name="Yuki's MacBook Air", model=models.MACBOOK_AIR, system=models.MACOS_27_1),
    _Role(
        name="Yuki's iPhone",
        model=models.IPHONE_17,
        system=models.IOS_27_1,
        supervised=False,
        behavior=(("battery", 0.84),),
    ),
    _Role(name="lab-mini-2", model=models.MAC_MINI, system=models.MACOS_27_1, person=3),
    _Role(
        name="reception-ipad",
        model=models.IPAD,
        system=models.IOS_27_1,
        behavior=(("battery", 0.09), ("passcode", False)),
    ),
    _Role(
        name="studio-imac",
        model=models.IMAC,
        system=models.MACOS_15_7,
        person=7,
        behavior=(("supervised", False),),
    ),
    _Role(name="Meeting room TV", model=models.APPLE_TV, system=models.TVOS_27_1),
    _Role(
        name="Kenji's iPhone",
        model=models.IPHONE_16E,
        system=models.IOS_27_1,
        person=4,
        behavior=(("locked", True), ("passcode", True), ("battery", 0.61)),
    ),
    _Role(
        name="lab-mini-7",
        model=models.MAC_MINI,
        system=models.MACOS_27_1,
        person=2,
        behavior=(("silent", True),),
    ),
)


class _Chance:
    """Draws that depend on seed and index only, not on their order nor on Python's version."""

    def __init__(self, seed: int, index: int) -> None:
        self._prefix = f"{seed}/{index}/"

    def number(self, purpose: str, below: int) -> int:
        return int.from_bytes(self.bytes(purpose)[:8], "big") % below

    def bytes(self, purpose: str) -> bytes:
        return hashlib.sha256((self._prefix + purpose).encode()).digest()

    def pick(self, purpose: str, options: Sequence[T]) -> T:
        return options[self.number(purpose, len(options))]

    def uuid(self, purpose: str) -> str:
        return str(uuid.UUID(bytes=self.bytes(purpose)[:16], version=4)).upper()


def make_state(seed: int, index: int, cast: str = "office") -> DeviceState:
    """Return device number `index` (from 0) of a cast: "office", or "demo" with its eight first.

    Deterministic. Serial numbers, UDIDs and IMEIs look real and differ for each seed and index.
    """
    if cast not in ("office", "demo"):
        raise ValueError(f"no such cast: {cast}")
    chance = _Chance(seed, index)
    role = _DEMO[index] if cast == "demo" and index < len(_DEMO) else _office_role(chance, index)
    state = _state(chance, role)
    for name, value in role.behavior:
        setattr(state, name, value)
    return state


def _office_role(chance: _Chance, index: int) -> _Role:
    platform = chance.pick(
        "platform",
        (Platform.MAC,) * 4 + (Platform.IPHONE,) * 3 + (Platform.IPAD,) * 2 + (Platform.APPLE_TV,),
    )
    model = chance.pick("model", models.MODELS[platform])
    up_to_date = chance.number("up to date", 10) < 7 and model.apple_silicon
    person = chance.number("person", len(_PEOPLE))
    return _Role(
        name=_office_name(chance, model, person, index),
        model=model,
        system=models.SYSTEMS[platform][0 if up_to_date else 1],
        person=person,
        supervised=chance.number("supervised", 10) < 7,
    )


def _office_name(chance: _Chance, model: Model, person: int, index: int) -> str:
    owner = _PEOPLE[person][0].split()[0]
    number = index + 1
    if model.platform is Platform.APPLE_TV:
        return f"{chance.pick('place', _PLACES)} TV {number}"
    if not model.battery:
        return f"lab-{'mini' if model is models.MAC_MINI else 'imac'}-{number}"
    if model.platform is Platform.IPAD and chance.number("on duty", 2):
        return f"{chance.pick('duty', _DUTIES)}-ipad-{number}"
    kind = model.name if model.platform is Platform.MAC else model.platform.value
    return f"{owner}'s {kind}"


def _state(chance: _Chance, role: _Role) -> DeviceState:
    model = role.model
    person, locale = _PEOPLE[role.person]
    mac = b"\xf8\xff\xc2" + chance.bytes("wifi")[:3]
    capacity = chance.pick("capacity", model.capacities)
    state = DeviceState(
        platform=model.platform,
        udid=_udid(chance, model),
        serial_number=_serial(chance, model),
        device_name=role.name,
        model_name=model.name,
        product_name=model.product,
        model=f"{model.part}{'J' if locale == 'ja_JP' else 'LL'}/A",
        os_version=role.system.version,
        build_version=role.system.build,
        wifi_mac=mac.hex(":"),
        bluetooth_mac=(mac[:5] + bytes((mac[5] ^ 1,))).hex(":"),
        capacity=capacity,
        used=round(capacity * (20 + chance.number("used", 60)) / 100, 2),
        locale=locale,
        time_zone=_TIME_ZONES.get(locale, "Europe/Berlin"),
        supervised=role.supervised,
    )
    if model.battery:
        state.battery = (35 + chance.number("battery", 65)) / 100
    if model.platform is Platform.MAC:
        _equip_mac(chance, state, model, person)
    else:
        _equip_mobile(chance, state, model)
    return state


def _equip_mac(chance: _Chance, state: DeviceState, model: Model, person: str) -> None:
    state.mac = Mac(apple_silicon=model.apple_silicon, firewall=bool(chance.number("firewall", 2)))
    short_name = person.split()[0].lower().translate(str.maketrans("éáí", "eai"))
    state.users = [
        User(
            short_name=short_name,
            full_name=person,
            guid=chance.uuid("user"),
            uid=501,
            logged_in=True,
            admin=True,
            secure_token=True,
        )
    ]
    state.push_token = chance.bytes("user token")
    state.passcode = True
    state.apps = store.DEVELOPER_APPS if chance.number("developer", 3) == 0 else store.MAC_APPS
    if state.supervised:
        state.bypass_code = _bypass_code(chance)


def _equip_mobile(chance: _Chance, state: DeviceState, model: Model) -> None:
    if model.cellular:
        state.cellular = _cellular(chance, state.locale)
    if model.platform is Platform.APPLE_TV:
        return
    state.passcode = chance.number("passcode", 10) < 8
    state.activation_lock = not state.supervised and bool(chance.number("find my", 2))
    state.unlock_token = chance.bytes("unlock token") * 4
    state.apps = store.PHONE_APPS if model.platform is Platform.IPHONE else store.IPAD_APPS
    if state.supervised:
        state.bypass_code = _bypass_code(chance)


def _udid(chance: _Chance, model: Model) -> str:
    if model.platform is Platform.MAC:
        return chance.uuid("udid")
    ecid = chance.bytes("udid")[:7].hex().upper()
    return f"00008{chance.number('chip', 60) + 101}-00{ecid}"


def _serial(chance: _Chance, model: Model) -> str:
    length = 10 if model.short_serial else 12
    letters = [_ALPHABET[byte % len(_ALPHABET)] for byte in chance.bytes("serial")[:length]]
    # Serial numbers begin with a letter.
    letters[0] = chance.pick("serial start", "CDFGHJKLM")
    return "".join(letters)


def _cellular(chance: _Chance, locale: str) -> Cellular:
    carriers = {"ja_JP": ("NTT DOCOMO", "440", "10", "+81 90")}
    carrier, mcc, mnc, prefix = carriers.get(locale, ("O2", "262", "07", "+49 176"))
    imei = _with_check_digit(f"35{chance.number('imei', 10**12):012d}")
    subscriber = f"{chance.number('subscriber', 10**8):08d}"
    return Cellular(
        imei=imei,
        meid=imei[:14],
        iccid=_with_check_digit(f"89{mcc}{mnc}{chance.number('iccid', 10**11):011d}"),
        eid=f"8904903200{chance.number('eid', 10**18):018d}{chance.number('eid2', 10**4):04d}",
        phone_number=f"{prefix} {subscriber[:4]} {subscriber[4:]}",
        carrier=carrier,
        mcc=mcc,
        mnc=mnc,
    )


def _with_check_digit(digits: str) -> str:
    """Append the Luhn digit of IMEIs and ICCIDs."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{digits}{-total % 10}"


def _bypass_code(chance: _Chance) -> str:
    """Return an Activation Lock bypass code as devices make them: 128 bits in 26 symbols."""
    symbols = "0123456789ACDEFGHJKLMNPQRTUVWXYZ"
    bits = int.from_bytes(chance.bytes("bypass")[:16], "big")
    code = [symbols[bits >> (123 - 5 * place) & 31] for place in range(25)]
    code.append(symbols[bits & 7])
    joined = "".join(code)
    cuts = (0, 5, 10, 14, 18, 22, 26)
    return "-".join(joined[start:end] for start, end in pairwise(cuts))
