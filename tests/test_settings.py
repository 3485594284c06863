"""Settings are declared once and checked in one place, and are the same in Python."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import trio

import trizmq
from trizmq.client import trio_client
from trizmq.errors import ConfigError
from trizmq.fields import fields_of
from trizmq.limits import LIMITS, Limits
from trizmq.processes.work import work
from trizmq.settings import (
    DEFAULTS,
    SETTINGS,
    ServeSettings,
    Settings,
    WorkSettings,
    settings_of,
)
from trizmq.wire.mdp import MDP

TYPED = [(kind, name) for kind in (ServeSettings, WorkSettings) for name in get_type_hints(kind)]

#: The types of the kinds of settings as keyword arguments.
KINDS: dict[Any, set[str]] = {
    bool: {"bool"},
    int: {"int"},
    float: {"float"},
    str: {"str"},
    dict: {"Mapping"},
    Path: {"Path"},
    tuple: {"Sequence"},
}


def test_without_any_the_defaults_hold() -> None:
    assert settings_of({}) == DEFAULTS == Settings()
    assert DEFAULTS.bounds == Limits()


@pytest.mark.parametrize(("kind", "name"), TYPED)
def test_a_keyword_argument_has_the_type_of_its_setting(kind: Any, name: str) -> None:
    hint = get_type_hints(kind)[name]
    parts = [part for part in get_args(hint) if part is type(None) or isinstance(part, type)]
    is_optional = type(None) in parts
    names = {getattr(hint, "__name__", ""), *(part.__name__ for part in get_args(hint))}
    field = SETTINGS[name]
    assert is_optional is field.is_optional
    assert names & KINDS[str if isinstance(field.kind, tuple) else field.kind]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_within_its_bounds(name: str) -> None:
    field = SETTINGS[name]
    assert field.check(field.default) == field.default
    assert field.meta.description


def test_every_limit_has_bounds() -> None:
    for field in LIMITS.values():
        assert field.meta.ge is not None
        assert field.meta.le is not None
        assert field.check(field.default) == field.default
        with pytest.raises(ValueError, match=field.words):
            field.check(-1)


def test_the_wait_is_a_limit_and_a_setting_with_one_default() -> None:
    assert settings_of({"wait": 3}).bounds.wait == 3
    assert DEFAULTS.wait == fields_of(Limits)["wait"].default


def test_a_client_has_the_same_default_timeout_and_the_same_longest_one() -> None:
    assert DEFAULTS.timeout == trio_client.DEFAULT_SECONDS
    assert SETTINGS["timeout"].check(math.inf) == trio_client.MAX_SECONDS


def test_every_dialect_of_a_worker() -> None:
    assert set(SETTINGS["dialect"].kind) == {"native", *MDP}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"capacity": 10**9}, "capacity must be an integer from 1 to 65536, not 1000000000"),
        ({"capacity": "9"}, "capacity must be an integer from 1 to 65536, not '9'"),
        ({"capacity": True}, "capacity must be an integer from 1 to 65536, not True"),
        ({"threads": 0}, "threads must be an integer from 1 to 65536, not 0"),
        ({"workers": 1025}, "workers must be an integer from 0 to 1024, not 1025"),
        ({"grace": -1}, "grace must be a number of seconds, 0 or more, not -1"),
        ({"wait": math.nan}, "wait must be a number of seconds, 0 or more, not nan"),
        ({"bind": 5555}, "bind must be a string or a list of strings, not 5555"),
        ({"bind": None}, "bind must be a string or a list of strings, not None"),
        ({"modules": 3}, "modules must be a string or a list of strings, not 3"),
        ({"state_dir": 3}, "state_dir must be a path, not 3"),
        ({"insecure": "yes"}, "insecure must be true or false, not 'yes'"),
        ({"dialect": "mdp03"}, "dialect must be one of native, mdp01, mdp02, majortomo, packed,"),
        ({"limits": 3}, "limits must be a table, [limits], not 3"),
        ({"limits": {"body_bytes": 1}}, "limits: body_bytes must be an integer from 1024 to "),
        ({"limits": {"body_byte": 1}}, "unknown limit 'body_byte' (did you mean body_bytes?)"),
    ],
)
def test_a_wrong_value_is_a_value_error_with_name_and_bounds(
    given: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(given)
    assert complaint in str(caught.value)
    assert isinstance(caught.value, ValueError)


async def test_serve_and_work_check_their_keyword_arguments() -> None:
    with pytest.raises(ValueError, match="capacity must be an integer from 1 to 65536"):
        await trizmq.serve(capacity=10**9)
    with pytest.raises(ValueError, match="capacity must be an integer from 1 to 65536"):
        await work(capacity=0)
    serve: Any = trizmq.serve
    with pytest.raises(TypeError, match=r"'capcity' .*did you mean capacity\?"):
        await serve(capcity=1)
    for other in ("timeout", "token", "connect", "dialect", "log_level"):
        with pytest.raises(TypeError, match=other):
            await serve(**{other: "x"})
    assert trio.current_time()  # nothing has started


def test_values_are_read_in_the_ways_that_suit_python() -> None:
    settings = settings_of(
        {
            "plugins": [plugin := object(), "users"],
            "modules": "a,b",
            "bind": ["ipc://a", "ipc://b"],
            "grace": math.inf,
            "state_dir": "state",
            "limits": {"body_bytes": "2 MiB"},
        }
    )
    assert settings.plugins == (plugin, "users")
    assert settings.modules == ("a", "b")
    assert settings.bind == "ipc://a,ipc://b"
    assert settings.grace == 3600
    assert settings.state_dir == Path("state")
    assert settings.bounds.body_bytes == 2 * 1024 * 1024
