"""URLs of storages, and what nobody may read of them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("sqlite", "postgresql", "mysql", "grpc")
"""How the URL of a storage may begin."""
STORAGE_RULE = f"storage is default, or a URL that begins with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"
STORAGE_REMEDY = "write e.g. postgresql://user@host/name or sqlite:////folder/study.db"
VARIABLE = "METANAS_STORAGE"
"""Environment variable that holds a URL, for those who don't want its password on a command line."""


def scheme_of(url: str) -> str:
    """The dialect: ``postgresql`` also for ``postgres`` and ``postgresql+psycopg2``."""
    before, mark, _ = url.partition("://")
    scheme = before.partition("+")[0] if mark else ""
    return "postgresql" if scheme == "postgres" else scheme


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for any other, or one in memory."""
    if scheme_of(url) != "sqlite":
        return None
    from sqlalchemy.engine import make_url

    name = make_url(url).database
    return Path(name) if name and name != ":memory:" else None


def storage_problem(url: str) -> str:
    """What is wrong with a URL at first sight, without its password; empty when nothing is."""
    scheme = scheme_of(url)
    if scheme not in SCHEMES:
        return without_password(url)
    if scheme != "grpc":
        return ""
    try:
        parts = urlsplit(url)
        return "" if parts.hostname and parts.port != 0 else url
    except ValueError as error:
        return str(error)


def without_password(url: str) -> str:
    """The URL without what nobody may read."""
    # Up to the last @, since people forget to quote what is special in a password.
    url = re.sub(r"//([^:@/?]*):.*@", r"//\1@", url)
    return re.sub(r"(?<=[?&])(?:password|sslpassword|passwd)=[^&]*&?", "", url).rstrip("?&")
