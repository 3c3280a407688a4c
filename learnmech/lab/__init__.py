"""The lab: an experiment seen while it learns, taken hold of, and laid beside theory; in a browser
and in a notebook."""

import sys
import types


class _Room(types.ModuleType):
    """The room, which opens a lab in a notebook where it is called: `lm.lab(experiment)`."""

    def __call__(self, *arguments, **keywords):
        from learnmech.lab.widget import lab

        return lab(*arguments, **keywords)


sys.modules[__name__].__class__ = _Room
