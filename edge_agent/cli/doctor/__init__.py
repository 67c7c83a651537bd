"""``edge-agent doctor``: what is wrong on this device, and what to do. May import everything that the commands may.

Unlike ``check`` it connects: to the broker, the image store and the cameras. It may run beside the agent: it does not
log in at the broker, because a second session with the device's client id would end the first.
"""
