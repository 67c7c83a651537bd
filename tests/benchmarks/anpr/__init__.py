"""The benchmark of number plate recognition: images, speed, videos and the synthetic gate."""
