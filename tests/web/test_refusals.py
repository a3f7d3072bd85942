"""Every reason for which a device gets no certificate has its words."""

from __future__ import annotations

import ast
import inspect

from appliance.services import ca, device_identities
from appliance.store import links
from appliance.web.refusals import refusal_of


def test_no_reason_is_without_words() -> None:
    reasons = {
        node.args[0].value
        for module in (ca, links)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "NotAuthorized"
        and isinstance(node.args[0], ast.Constant)
    }
    reasons.add(device_identities.UNPROVEN)
    reasons.remove("the request has no challenge")  # without one nothing is recorded
    assert len(reasons) > 8
    assert [reason for reason in reasons if refusal_of(str(reason)).cause == reason] == []
