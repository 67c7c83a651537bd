"""One file for each task; ``schedule`` lists them."""
