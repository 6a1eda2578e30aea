"""What everything else stands on; it knows no network, no image and no atlas."""
