"""What a person runs: the commands, their output on the terminal, and the generated reference.

May import every room.
"""
