"""The plate reader: training data, network, export and evaluation."""
