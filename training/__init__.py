"""What makes files that come with the package; run by hand, not part of it."""
