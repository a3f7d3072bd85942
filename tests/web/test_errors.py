"""The two tables from errors to statuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance import errors
from appliance.errors import ApplianceError, EnrollmentBlocked, NotAuthenticated
from appliance.web.errors import API_STATUS, DEVICE_STATUS, status_of


def _all(root: type[ApplianceError] = ApplianceError) -> Iterator[type[ApplianceError]]:
    yield root
    for child in root.__subclasses__():
        yield from _all(child)


def _raised(kind: type[ApplianceError]) -> ApplianceError:
    error = kind.__new__(kind)
    ApplianceError.__init__(error, "a problem")
    return error


@pytest.mark.parametrize("kind", list(_all()), ids=lambda kind: kind.__name__)
def test_401_to_a_device_means_that_an_administrator_blocked_it(kind: type[ApplianceError]) -> None:
    status = status_of(_raised(kind), DEVICE_STATUS)
    assert (status == 401) == issubclass(kind, EnrollmentBlocked)


@pytest.mark.parametrize("kind", list(_all()), ids=lambda kind: kind.__name__)
def test_401_of_the_api_means_that_there_is_no_token(kind: type[ApplianceError]) -> None:
    status = status_of(_raised(kind), API_STATUS)
    assert (status == 401) == issubclass(kind, NotAuthenticated)


def test_an_error_that_no_table_names_is_a_failure_of_ours() -> None:
    class Unforeseen(ApplianceError):
        """Not in any table."""

    assert status_of(Unforeseen("?"), DEVICE_STATUS) == 500
    assert status_of(Unforeseen("?"), API_STATUS) == 500


def test_the_tables_name_only_errors_of_ours() -> None:
    for kind in (*API_STATUS, *DEVICE_STATUS):
        assert getattr(errors, kind.__name__) is kind


def test_a_dangerous_command_without_confirmation_is_422() -> None:
    assert status_of(errors.ConfirmationRequired("confirm it"), API_STATUS) == 422
