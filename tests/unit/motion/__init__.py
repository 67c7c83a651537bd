"""Tests of the motion stage, on scenes painted here."""
