"""DeviceInformation: exactly the queries that were asked, as far as the device knows them."""

from __future__ import annotations

from typing import Any, Final

from appliance.simulator.answers import queries
from appliance.simulator.answers.command import Answer, Call, Command, acknowledged
from appliance.simulator.errors import Malformed


def _information(call: Call) -> Answer:
    asked = call.keys["Queries"]
    if not all(isinstance(name, str) for name in asked):
        raise Malformed("Queries must be strings")
    responses: dict[str, Any] = {}
    for name in asked:
        query = queries.QUERIES.get(name)
        if query is None or not _may_answer(call, query):
            continue
        value = query.value(call.state, call.now)
        if value is not None:
            responses[name] = value
    user = call.state.console_user
    if "ActiveManagedUsers" in responses and user:
        responses["CurrentConsoleManagedUser"] = user.guid
    if call.user_channel and "PushToken" in asked and call.state.push_token:
        responses["PushToken"] = call.state.push_token
    return acknowledged(QueryResponses=responses)


def _may_answer(call: Call, query: queries.Query) -> bool:
    state = call.state
    if state.platform not in query.on or (query.shared and not state.shared):
        return False
    return not query.right or bool(state.access_rights & query.right)


COMMANDS: Final = {
    "DeviceInformation": Command(
        run=_information,
        channels="DU",
        ipad="DU",
        needs={"Queries": list},
        takes={"DeviceAttestationNonce": bytes},
        lost=True,
    ),
}
