"""Late: modules that take long to import, imported at their first use, from whichever thread
that comes."""

import importlib
from types import ModuleType


class Late(ModuleType):
    """Stands for a module, and imports it when something of it is first asked for.

    It is never put in the place of the module itself (as importlib.util.LazyLoader does, whose
    module shows half its contents to a second thread while the first still executes it):
    `import_module` makes a thread wait until the module is whole.
    """

    def _module(self) -> ModuleType:
        whole = self.__dict__.get("whole")
        if whole is None:
            whole = importlib.import_module(self.__name__)
            if not getattr(whole.__spec__, "_initializing", False):
                self.__dict__["whole"] = whole
        return whole

    def __getattr__(self, name):
        return getattr(self._module(), name)

    def __setattr__(self, name, value):
        setattr(self._module(), name, value)

    def __delattr__(self, name):
        delattr(self._module(), name)

    def __dir__(self):
        return dir(self._module())


def late(name: str) -> ModuleType:
    """The module of that name; what it costs to import is paid when it is first used.
    Annotations that name its contents are texts."""
    return Late(name)
