"""Latent axes that each change one thing: train them, check them, look at them.

`__init__.pyi` names what is here. It is imported on first use: `import axiswise` loads no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
