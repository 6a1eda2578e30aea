"""The folder that a run leaves behind: its tables, written and read."""
