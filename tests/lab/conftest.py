"""What tests of the tenant share: a session that is signed in to the module's lab, and a mailbox of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from test_login import Face

    from connectors.lab.server import Lab


@pytest.fixture(scope="module")
def session(lab: Lab) -> Iterator[requests.Session]:
    from test_login import signed_in

    with signed_in(lab) as session:
        yield session


@pytest.fixture
def face(lab: Lab, session: requests.Session) -> Face:
    from test_login import Face, fresh

    return Face(lab, session, fresh(lab))
