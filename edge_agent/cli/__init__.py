"""The command line: commands, terminal output, and the generated configuration reference.

May import every package of the agent.
"""
