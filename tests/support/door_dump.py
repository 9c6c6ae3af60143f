"""Describe a module that offers the official SDK's names; run as a program, prints JSON.

    python -m tests.support.door_dump livekit.rtc
    python -m tests.support.door_dump app.engine.rtc

It runs in a process of its own, because the official wheel must not be loaded beside our code.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import sys
from typing import Any


def describe_module(module: Any) -> dict[str, Any]:
    """Describe every exported name."""
    return {name: describe(getattr(module, name)) for name in sorted(module.__all__)}


def describe(value: Any) -> dict[str, Any]:
    """Describe one exported object by kind, members and signatures."""
    members = _enum_members(value)
    if members is not None:
        return {"kind": "enum", "members": members}
    if inspect.ismodule(value):
        return {"kind": "module", "names": sorted(n for n in vars(value) if n[0].isupper())}
    if inspect.isclass(value):
        return _describe_class(value)
    if inspect.isfunction(value):
        return {"kind": "function", "signature": _signature(value)}
    arguments = getattr(value, "__args__", None)
    if arguments:
        return {"kind": "union", "members": sorted(each.__name__ for each in arguments)}
    return {"kind": type(value).__name__, "value": repr(value)}


def _enum_members(value: Any) -> dict[str, Any] | None:
    if type(value).__name__ == "EnumTypeWrapper":
        return dict(value.items())
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        return {member.name: member.value for member in value}
    return None


def _describe_class(value: type) -> dict[str, Any]:
    fields = _fields(value)
    if fields is not None:
        return {"kind": "message", "fields": fields}
    members: dict[str, Any] = {}
    for name in dir(value):
        if name.startswith("_") and name not in ("__init__", "__aiter__", "__anext__"):
            continue
        raw = inspect.getattr_static(value, name)
        members[name] = _member(raw)
    exception = next((b.__name__ for b in value.__mro__ if b.__module__ == "builtins"), "object")
    return {"kind": "class", "builtin": exception, "members": members}


def _fields(value: type) -> list[str] | None:
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is not None:
        return [field.name for field in descriptor.fields]
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return None


def _member(raw: Any) -> Any:
    if isinstance(raw, property):
        return "property with setter" if raw.fset else "property"
    if isinstance(raw, staticmethod | classmethod):
        return {type(raw).__name__: _signature(raw.__func__)}
    if inspect.isfunction(raw):
        return _signature(raw)
    members = _enum_members(raw)
    if members is not None:
        return {"enum": members}
    if isinstance(raw, dict):
        return {int(key): text for key, text in raw.items()}
    return type(raw).__name__


def _signature(function: Any) -> dict[str, Any]:
    parameters = [
        [name, parameter.kind.name, _default(parameter.default)]
        for name, parameter in inspect.signature(function).parameters.items()
    ]
    return {"async": inspect.iscoroutinefunction(function), "parameters": parameters}


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, enum.Enum):
        return repr(value.value)
    if value is None or isinstance(value, bool | int | float | str | list):
        return repr(value)
    return type(value).__name__


if __name__ == "__main__":
    print(json.dumps(describe_module(importlib.import_module(sys.argv[1]))))
