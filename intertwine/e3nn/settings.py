"""e3nn's settings of code generation. Programs set and read them; nothing is generated here, so they change nothing."""

from __future__ import annotations

from typing import Any

__version__ = "0.6.0"
MODES = ("script", "inductor", "eager")
_OPT_DEFAULTS: dict[str, Any] = {
    "specialized_code": True,
    "optimize_einsums": True,
    "jit_script_fx": True,
    "jit_mode": "eager",
}


def get_optimization_defaults() -> dict[str, Any]:
    """A copy of the settings: ``specialized_code``, ``optimize_einsums``, ``jit_script_fx`` and ``jit_mode``."""
    return dict(_OPT_DEFAULTS)


def set_optimization_defaults(**settings: Any) -> None:
    """Change settings. ``jit_script_fx``, the older word, implies a ``jit_mode``: False is "eager", True "script" if it
    was "eager".

    Raises:
        ValueError: an unknown setting.
        AssertionError: an unknown ``jit_mode``.
    """
    for name, value in settings.items():
        if name not in _OPT_DEFAULTS:
            raise ValueError(f"unknown setting {name!r}: e3nn has {', '.join(_OPT_DEFAULTS)}")
        if name == "jit_mode" and value not in MODES:
            raise AssertionError(f"unknown jit_mode {value!r}: e3nn has {', '.join(MODES)}")
        _OPT_DEFAULTS[name] = value
        if name == "jit_script_fx":
            compiled = _OPT_DEFAULTS["jit_mode"] if _OPT_DEFAULTS["jit_mode"] != "eager" else "script"
            _OPT_DEFAULTS["jit_mode"] = compiled if value else "eager"


def setting(name: str, value: bool | None = None) -> bool:
    """What a module was given for a setting, or what is set."""
    return bool(_OPT_DEFAULTS[name] if value is None else value)
