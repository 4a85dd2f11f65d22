"""Model folders with a card, shared through the Hugging Face Hub."""

from reparam.hub.folder import save as save
from reparam.hub.repository import pull as pull
from reparam.hub.repository import push as push

__all__ = ["pull", "push", "save"]
