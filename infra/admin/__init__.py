"""``vedette-admin``: users, API keys and migrations of a deployment. ``cli`` and the functions behind its commands."""
