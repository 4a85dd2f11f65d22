"""An app in the browser that explores a trained run."""
