"""An app in the browser that explores a trained run."""

from reparam.explorer.app import explore as explore

__all__ = ["explore"]
