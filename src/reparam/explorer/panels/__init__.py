"""The page of an explorer, in NiceGUI: what it shows comes from the files of the folder above."""
