"""Recipes for the line reader: the network that reads one line of a plate once its characters have been found."""
