"""What a user names: a network, images, words, an image–text model, and how to run them."""
