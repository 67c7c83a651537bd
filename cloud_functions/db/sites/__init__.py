"""Sites: their settings, wrapped keys and retention."""
