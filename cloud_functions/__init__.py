"""The Lambda functions and what they share. Imports shared; never anything of the edge's."""
