"""Directions in a trained generator: one method a file.

`__init__.pyi` names what is here. It is imported on first use, so that `METHODS.names()` loads no
torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
