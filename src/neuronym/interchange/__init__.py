"""Published results in and out: one file per format; see docs/interchange.md."""
