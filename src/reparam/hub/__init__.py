"""Model folders with a card, shared through a hub."""
