"""The old door to the adapters for other libraries' notebooks, which are packages of their own:
`learnmech_tangents`."""

import importlib
import sys

from learnmech.errors import refused

try:
    tangents = importlib.import_module("learnmech_tangents")
except ModuleNotFoundError:
    raise refused(
        "learnmech.adapters",
        "learnmech_tangents, a package of its own",
        "none that is installed",
        "pip install ./tangents",
    ) from None
# so that notebooks which import it under its old name still run
for _name, _module in list(sys.modules.items()):
    if _name.split(".")[0] == "learnmech_tangents":
        sys.modules[_name.replace("learnmech_tangents", f"{__name__}.tangents", 1)] = _module
