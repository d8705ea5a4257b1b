"""What the tests of the Ray engine share."""

import os
import secrets

import pytest


@pytest.fixture(scope="session")
def ray_token() -> str:
    """One token for all clusters of this process, since Ray reads it once, when it is imported."""
    token = os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    return token
