"""The examination of number plate reading: pictures, speed, videos, and the synthetic gate, by one command."""
