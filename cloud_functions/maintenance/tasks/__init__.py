"""The steps of the tasks, by subject. ``schedule`` lists the tasks."""
