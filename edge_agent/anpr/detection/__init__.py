"""Where plates are: the plate detector, the schedule of searches, and which vehicle a plate belongs to."""
