"""Sources of frames: files, IP cameras, USB and CSI cameras, generated scenes. May import ``types`` and ``resize``."""
