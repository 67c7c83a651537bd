"""The one-machine stack: all of Vedette on loopback, without AWS, Docker or root. May import every package."""
