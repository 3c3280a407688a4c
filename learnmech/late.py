"""Late: modules that take long to import, imported at their first use."""

import importlib.util
import sys
from types import ModuleType


def late(name: str) -> ModuleType:
    """The module of that name; what it costs to import is paid when it is first used. Annotations that name its contents are texts."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
