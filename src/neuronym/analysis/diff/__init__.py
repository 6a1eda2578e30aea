"""What two atlases say differently: neuron by neuron, or concept by concept."""
