"""From a decoded image to a network's input: settings, and those that published models state."""
